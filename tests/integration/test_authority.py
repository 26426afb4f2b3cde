"""A worker whose lease is gone, or whose database is away, writes nothing and loses nothing."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import Connection

from millrace.db.session import Database
from millrace.lifecycle import chunks, jobs
from millrace.types import ChunkState, JobId
from tests import jobs as stage
from tests.faults import FaultyDatabase, Switch
from tests.integration.conftest import StartChild
from tests.lifecycle.stage import chunk_row
from tests.running import OTHER, computing, runner_of, running, verbs
from tests.waiting import gone, until
from workers.chunk_runner import ChunkRunner


def test_a_cancellation_kills_and_commits_nothing(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    """I11"""
    stage.written(tmp_path, stage.texts(3, _1="::hang"))
    job_id = stage.started(database, tmp_path)
    child = compute()
    runner = runner_of(database, child, tmp_path)
    with running(lambda: runner.run_due(job_id)):
        computing(database, job_id)
        victim = child.pid
        assert victim is not None
        with database.write() as connection:
            jobs.cancel(connection, job_id)

    assert gone(victim)
    assert "commit" not in verbs(database, job_id)
    assert not list((tmp_path / "out").rglob("*.jsonl"))


@pytest.mark.parametrize("renewing", [True, False], ids=["told by its heartbeat", "told at commit"])
def test_a_zombie_commits_nothing(
    database: Database, compute: StartChild, tmp_path: Path, renewing: bool
) -> None:
    """F9: its lease was reaped and claimed anew while it computed."""
    stage.written(tmp_path, stage.texts(3, _1=f"::sleep {60 if renewing else 1.5}"))
    job_id = stage.started(database, tmp_path)
    beat = {"heartbeat_seconds": 0.05 if renewing else 60.0}
    runner = runner_of(database, compute(), tmp_path, **beat)
    with running(lambda: runner.run_due(job_id)):
        until(lambda: chunk_row(database, job_id).state == "leased", "it is claimed")
        if renewing:
            computing(database, job_id)
        with database.write() as connection:
            assert chunks.reap(connection, 10, now=4e9) == [(job_id, 0)]
            lease = chunks.claim(connection, job_id, 0, OTHER, 60.0, now=5e9)
        assert lease is not None

    row = chunk_row(database, job_id)
    assert (row.state, row.owner, row.attempt) == ("leased", OTHER, lease.attempt)
    assert "commit" not in verbs(database, job_id)


def test_two_workers_never_share_a_chunk(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    stage.written(tmp_path, stage.texts(30))
    job_id = stage.started(database, tmp_path, chunk_rows=3)
    both = [runner_of(database, compute(), tmp_path) for _ in range(2)]
    with running(lambda: _all(both[0], job_id)), running(lambda: _all(both[1], job_id)):
        pass
    progress = stage.progress(database, job_id)
    assert progress.chunks[ChunkState.COMMITTED] == sum(progress.chunks.values())
    for idx in range(sum(progress.chunks.values())):
        assert verbs(database, job_id, idx) == ["claim", "commit"]


def _all(runner: ChunkRunner, job_id: JobId) -> None:
    while runner.run_due(job_id):
        pass


def test_an_absent_database_is_no_end(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    stage.written(tmp_path, stage.texts(3))
    job_id = stage.started(database, tmp_path)
    switch = Switch()
    switch.cut = True
    runner = runner_of(FaultyDatabase(database, switch), compute(), tmp_path)
    assert not runner.run_due(job_id)
    assert not runner.run(job_id, 0)
    switch.cut = False
    assert runner.run_due(job_id)


class Stuck(FaultyDatabase):
    """Once cut, whoever commits hangs in the network, and whoever renews learns nothing."""

    def __init__(self, real: Database, switch: Switch) -> None:
        super().__init__(real, switch)
        self.healed = threading.Event()

    def write(self, *, durable: bool = True) -> AbstractContextManager[Connection]:
        if durable and self._switch.cut:
            assert self.healed.wait(60)
            self._switch.cut = False
        return super().write(durable=durable)


def test_a_worker_that_hangs_in_the_network_does_not_compute_on(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    """F31: the local deadline is kept though the thread that works cannot keep it; no crash."""
    stage.written(tmp_path, stage.texts(12))
    slow = {"scripted": True, "delay": 0.7}
    job_id = stage.started(database, tmp_path, chunk_rows=1, options=slow)
    stuck, child = Stuck(database, Switch()), compute()
    runner = runner_of(stuck, child, tmp_path, lease_seconds=3.0)
    runner._bench.pace.learn(job_id, 1, 0.01)
    child.start()
    computing_process = child.pid
    assert computing_process is not None
    with running(lambda: runner.run_due(job_id)):
        until(lambda: chunk_row(database, job_id, 0).state == "committed", "the first is done")
        stuck._switch.cut = True

        def killed() -> bool:
            runner.enforce()
            return gone(computing_process)

        until(killed, "the process is killed", every=0.05)
        stuck.healed.set()
    assert not any(chunk_row(database, job_id, idx).crash_count for idx in range(8))
