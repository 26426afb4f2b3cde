"""Slow chunks near the end of a job, offered to those who are idle."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.db.session import Database
from millrace.lifecycle import chunks
from millrace.settings import Settings
from millrace.types import JobId, WorkerId
from scheduler.speculator import Speculator
from tests.lifecycle import stage as plain
from tests.lifecycle.stage import chunk_row
from tests.scheduling import Bell, hired, running

START = 1e9
MUCH_LATER = START + 30.0


def job_with(database: Database, done: int, held: int, left: int = 0, **spec: Any) -> JobId:
    """A job of which some chunks are done (in 5 seconds), some in hand, and some left to begin."""
    job_id = running(database, *range(10, 10 * (done + held + left) + 1, 10), **spec)
    with database.write() as connection:
        for idx in range(done + held):
            lease = chunks.claim(connection, job_id, idx, WorkerId(f"w{idx}"), 1e6, now=START)
            assert lease is not None
            if idx < done:
                chunks.commit(connection, lease, plain.result(), now=START + 5.0)
    return job_id


def speculated(database: Database, now: float = MUCH_LATER, **changes: Any) -> Bell:
    bell = Bell()
    Speculator(database, bell, Settings(**changes), interval=1.0).tick(now)
    return bell


def offered(database: Database, job_id: JobId, count: int) -> list[int]:
    return [idx for idx in range(count) if chunk_row(database, job_id, idx).offered_at is not None]


def test_a_slow_chunk_is_offered_and_rung_for_once(database: Database) -> None:
    job_id = job_with(database, done=3, held=1)
    hired(database, "w3", "idle")
    bell = speculated(database)
    assert offered(database, job_id, 4) == [3]
    assert bell.calls == [("default", None, [(job_id, 3)])]
    assert not speculated(database).calls, "once is enough"


def test_no_more_is_offered_than_workers_are_idle(database: Database) -> None:
    job_id = job_with(database, done=3, held=3)
    hired(database, "w3", "w4", "w5", "idle-1", "idle-2")
    speculated(database)
    assert len(offered(database, job_id, 6)) == 2


def test_idle_workers_are_counted_once_for_all_jobs(database: Database) -> None:
    ids = [job_with(database, done=3, held=1, output=f"file:///{n}") for n in range(2)]
    hired(database, "idle")
    speculated(database)
    assert sum(len(offered(database, job_id, 4)) for job_id in ids) == 1


@pytest.mark.parametrize(
    ("shape", "now", "workers"),
    [
        pytest.param({"done": 3, "held": 1}, START + 9.0, ["w3", "idle"], id="not yet slow"),
        pytest.param({"done": 3, "held": 1}, MUCH_LATER, ["w3"], id="nobody idle"),
        pytest.param({"done": 3, "held": 1, "left": 1}, MUCH_LATER, ["idle"], id="not the end yet"),
        pytest.param({"done": 0, "held": 1}, MUCH_LATER, ["idle"], id="nothing to compare with"),
    ],
)
def test_nothing_is_offered_without_need(
    database: Database, shape: dict[str, int], now: float, workers: list[str]
) -> None:
    job_id = job_with(database, **shape)
    hired(database, *workers)
    assert not speculated(database, now).calls
    assert not offered(database, job_id, sum(shape.values()))


def test_work_of_others_comes_before_doing_things_twice(database: Database) -> None:
    job_id = job_with(database, done=3, held=1)
    other = running(database, output="file:///other")
    with database.write() as connection:
        chunks.ring_many(connection, other, [0])
    hired(database, "idle")
    speculated(database)
    assert not offered(database, job_id, 4)


def test_workers_of_another_pool_are_no_help(database: Database) -> None:
    job_id = job_with(database, done=3, held=1)
    hired(database, "idle", pool="gpu")
    speculated(database)
    assert not offered(database, job_id, 4)
