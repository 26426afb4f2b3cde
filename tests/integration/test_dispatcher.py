"""Who is rung for, when, and how often."""

from __future__ import annotations

import time

import pytest

from millrace.broker import Doorbell
from millrace.cli.embedded_broker import embedded_broker
from millrace.db.session import Database
from millrace.errors import Unavailable
from millrace.lifecycle import chunks, jobs
from millrace.types import JobState
from tests import jobs as stage
from tests.lifecycle import stage as plain
from tests.lifecycle.stage import chunk_row
from tests.scheduling import ME, Bell, claim, dispatcher_of, running


def test_the_dispatcher_rings_for_a_window_only(database: Database) -> None:
    job_id = running(database, *range(10, 101, 10))
    bell = Bell()
    dispatcher = dispatcher_of(database, bell)
    now = time.time()

    dispatcher.tick(now)
    assert bell.rung == [(job_id, 0), (job_id, 1), (job_id, 2)]
    dispatcher.tick(now + 1)
    assert len(bell.rung) == 3, "nobody is rung twice in so short a time"
    claim(database, job_id, 1)
    dispatcher.tick(now + 2)
    assert bell.rung[3:] == [(job_id, 3)], "there is room for one more"


def test_the_dispatcher_rings_again_for_what_nobody_claimed(database: Database) -> None:
    """F22: a message may get lost anywhere."""
    job_id = running(database, 10, 20)
    bell = Bell()
    dispatcher, now = dispatcher_of(database, bell), time.time()
    dispatcher.tick(now)
    dispatcher.tick(now + 29)
    assert len(bell.rung) == 2
    dispatcher.tick(now + 31)
    assert bell.rung == [(job_id, 0), (job_id, 1)] * 2


def test_the_dispatcher_starts_what_is_queued_and_comes_back_at_once(database: Database) -> None:
    with database.write() as connection:
        job_id = plain.submitted(connection)
        plain.planned(connection, job_id, 10)
    bell = Bell()
    dispatcher = dispatcher_of(database, bell)
    assert dispatcher.tick(time.time()) == 0.0
    assert stage.seen(database, job_id).state is JobState.RUNNING
    assert dispatcher.tick(time.time()) == 1.0
    assert bell.rung == [(job_id, 0)]


def test_the_dispatcher_of_one_job_leaves_others_alone(database: Database) -> None:
    mine, other = running(database), running(database, output="file:///other")
    bell = Bell()
    dispatcher_of(database, bell, job_id=mine).tick(time.time())
    assert bell.rung == [(mine, 0)]
    assert chunk_row(database, other).rung_at is None


@pytest.mark.parametrize("pause", [True, False])
def test_what_may_not_be_claimed_is_not_rung_for(database: Database, pause: bool) -> None:
    job_id = running(database, 10, 20)
    with database.write() as connection:
        if pause:
            jobs.pause(connection, job_id)
        else:
            lease = chunks.claim(connection, job_id, 0, ME, 60.0)
            assert lease is not None
            chunks.release(connection, lease, infra=True, delay=900.0, reason="wait")
    bell = Bell()
    dispatcher_of(database, bell).tick(time.time())
    assert bell.rung == ([] if pause else [(job_id, 1)])


def test_a_dead_broker_is_told_as_unavailable(database: Database) -> None:
    """F20: what was started stays started, and the chunks are rung for again later."""
    with embedded_broker() as url:
        bell = Doorbell(url)
        bell.ring([("job", 0)])
    with database.write() as connection:
        job_id = plain.submitted(connection)
        plain.planned(connection, job_id, 10)
    dispatcher = dispatcher_of(database, bell)
    dispatcher.tick(time.time())
    with pytest.raises(Unavailable):
        dispatcher.tick(time.time())
    assert stage.seen(database, job_id).state is JobState.RUNNING
    bell.close()
