"""One attempt from claim to its end, with a real compute process that obeys scripted rows."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from millrace.clock import SystemClock
from millrace.db.session import Database
from millrace.lifecycle import chunks, events, jobs, queries
from millrace.settings import Settings
from millrace.spec import ModelRef
from millrace.types import ChunkState, JobId, JobState, WorkerId
from scheduler.finisher import Finisher
from tests import jobs as stage
from tests import rogues
from tests.integration.conftest import StartChild
from tests.lifecycle.stage import chunk_row, history
from tests.waiting import gone, until
from workers.child import ComputeChild
from workers.chunk_runner import ChunkRunner

ME, OTHER = WorkerId("me"), WorkerId("other")


def runner_of(
    database: Database, child: ComputeChild, tmp_path: Path, **changes: Any
) -> ChunkRunner:
    quick = {"heartbeat_seconds": 0.05, "state": tmp_path, **changes}
    return ChunkRunner(database, child, ME, Settings(**quick), SystemClock())


def forget_backoff(database: Database, job_id: JobId) -> None:
    """A retry of the job lets every chunk be claimed at once; nobody waits in a test."""
    with database.write() as connection:
        jobs.fail(connection, job_id, "TEST", "to begin anew")
        jobs.retry(connection, job_id)


def carry_out(database: Database, runner: ChunkRunner, job_id: JobId, limit: int = 100) -> None:
    """Run the job to its end, without the waits between attempts."""
    for _ in range(limit):
        while runner.run_due(job_id):
            pass
        Finisher(database, interval=1.0).tick(0.0)
        job = stage.seen(database, job_id)
        if job.state is JobState.FINALIZING:
            assert runner.run_due(job_id)
        if job.finished_at is not None:
            return
        if job.state is JobState.RUNNING and not _due(database, job_id):
            forget_backoff(database, job_id)
    raise AssertionError("the job does not end")


def _due(database: Database, job_id: JobId) -> list[tuple[JobId, int]]:
    with database.read() as connection:
        return queries.due(connection, limit=1, job_id=job_id)


@contextmanager
def running(work: Callable[[], object]) -> Iterator[threading.Thread]:
    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield thread
    finally:
        thread.join(30)
        assert not thread.is_alive()


def computing(database: Database, job_id: JobId) -> None:
    """Wait until the process has announced a row that it will not get over."""
    until(lambda: chunk_row(database, job_id).in_flight, "a row in flight was reported")


def verbs(database: Database, job_id: JobId, idx: int | None = 0) -> list[str]:
    return [verb for verb, *_ in history(database, job_id, idx)]


@pytest.mark.parametrize("script", ["::exit", "::segv"])
def test_a_row_that_kills_is_found_and_buried(
    database: Database, compute: StartChild, tmp_path: Path, script: str
) -> None:
    """I14, I15: crash → suspects → split → bury; every other row has its result."""
    stage.written(tmp_path, stage.texts(40, _17=script))
    job_id = stage.started(database, tmp_path)
    carry_out(database, runner_of(database, compute(), tmp_path), job_id)

    job = stage.seen(database, job_id)
    assert job.state is JobState.PARTIAL
    assert [row["id"] for row in stage.results(job)] == [n for n in range(40) if n != 17]
    record = stage.errors(job)[0]
    assert (record["row"], record["code"]) == (17, "WORKER_CRASHED")
    assert ("SIGSEGV" if script == "::segv" else "status 1") in record["message"]
    assert stage.progress(database, job_id).rows_err == 1
    with database.read() as connection:
        found = events.page(connection, job_id, limit=1_000)
    assert sum(each.verb == "crash" for each in found) <= 6


def test_a_row_that_raises_is_a_record(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    stage.written(tmp_path, stage.texts(5, _2="::raise"))
    job_id = stage.started(database, tmp_path)
    carry_out(database, runner_of(database, compute(), tmp_path), job_id)
    assert [each["code"] for each in stage.errors(stage.seen(database, job_id))] == [
        "PREDICT_ERROR"
    ]
    assert "crash" not in verbs(database, job_id)


def test_a_stall_is_killed_and_counted(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    """F12"""
    stage.written(tmp_path, stage.texts(3, _1="::hang"))
    job_id = stage.started(database, tmp_path)
    child = compute()
    child.start()
    first = child.pid
    assert first is not None
    runner = runner_of(database, child, tmp_path, stall_seconds=1.0)

    assert runner.run_due(job_id)

    row = chunk_row(database, job_id)
    assert (row.state, row.crash_count, row.infra_count) == ("pending", 1, 0)
    assert len(row.suspects) == 3
    assert gone(first)
    assert child.pid is not None, "the next process starts while nobody waits for it"


def test_progress_is_no_stall(database: Database, compute: StartChild, tmp_path: Path) -> None:
    stage.written(tmp_path, stage.texts(10))
    slow = {"scripted": True, "delay": 0.3, "max_rows": 1}
    job_id = stage.started(database, tmp_path, options=slow)
    child = compute()
    # so that starting does not count
    warm = stage.started(database, tmp_path, output=stage.spec_of(tmp_path).output + "-warm")
    runner_of(database, child, tmp_path).run_due(warm)
    runner = runner_of(database, child, tmp_path, stall_seconds=1.5)
    assert runner.run_due(job_id)
    assert chunk_row(database, job_id).state == "committed"


def test_trouble_around_is_released_and_not_counted(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    stage.written(tmp_path, stage.texts(3))
    job_id = stage.started(database, tmp_path)
    runner = runner_of(database, compute(rogues.stop_infra), tmp_path)

    assert runner.run_due(job_id)

    row = chunk_row(database, job_id)
    assert (row.state, row.crash_count, row.infra_count) == ("pending", 0, 1)
    assert row.not_before > 0
    with database.read() as connection:
        released = events.page(connection, job_id, limit=100)[-1]
    assert released.detail == {"reason": "NO_DISK: disk is full"}


def test_a_lie_counts_as_a_crash(database: Database, compute: StartChild, tmp_path: Path) -> None:
    """F14: nothing is committed, and the process that lied is gone."""
    stage.written(tmp_path, stage.texts(3))
    job_id = stage.started(database, tmp_path)
    child = compute(rogues.boast)
    child.start()
    liar = child.pid
    assert liar is not None
    assert runner_of(database, child, tmp_path).run_due(job_id)
    row = chunk_row(database, job_id)
    assert (row.state, row.crash_count) == ("pending", 1)
    assert gone(liar)


def test_a_model_that_is_refused_twice_fails_the_job_once(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    stage.written(tmp_path, stage.texts(10))
    model = ModelRef(engine="torch", location=f"file://{tmp_path}/missing.pt2")
    job_id = stage.started(database, tmp_path, model=model, options={}, chunk_rows=2)
    runner = runner_of(database, compute(), tmp_path)
    while runner.run_due(job_id):
        pass

    job = stage.seen(database, job_id)
    assert job.state is JobState.FAILED
    assert "missing.pt2" in (job.reason or "")
    claims = [v for idx in range(5) for v in verbs(database, job_id, idx) if v == "claim"]
    assert len(claims) == 2, "a broken model must not burn every chunk"
    assert verbs(database, job_id, None).count("fail") == 1


def test_an_input_that_changed_fails_the_job(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    """F51"""
    stage.written(tmp_path, stage.texts(10))
    job_id = stage.started(database, tmp_path, chunk_rows=5)
    runner = runner_of(database, compute(), tmp_path)
    assert runner.run(job_id, 0)
    stage.written(tmp_path, stage.texts(11))

    assert runner.run(job_id, 1)

    job = stage.seen(database, job_id)
    assert (job.state, job.reason_code) == (JobState.FAILED, "INPUT_CHANGED")
    assert "0.jsonl" in (job.reason or "")
    assert chunk_row(database, job_id, 1).crash_count == 0


def test_a_drain_releases_without_counting(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    """F15"""
    stage.written(tmp_path, stage.texts(3, _1="::hang"))
    job_id = stage.started(database, tmp_path)
    runner = runner_of(database, compute(), tmp_path)
    with running(lambda: runner.run_due(job_id)):
        computing(database, job_id)
        runner.drain(0.0)

    row = chunk_row(database, job_id)
    assert (row.state, row.crash_count, row.infra_count) == ("pending", 0, 0)
    assert verbs(database, job_id)[-1] == "release"
    assert not runner.run_due(job_id), "nothing more is claimed"
    assert verbs(database, job_id)[-1] == "release"


def test_what_can_end_within_the_grace_does(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    stage.written(tmp_path, stage.texts(3, _1="::sleep 0.5"))
    job_id = stage.started(database, tmp_path)
    runner = runner_of(database, compute(), tmp_path)
    with running(lambda: runner.run_due(job_id)):
        computing(database, job_id)
        runner.drain(30.0)
    assert chunk_row(database, job_id).state == "committed"


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
            lease = chunks.claim(connection, job_id, 0, OTHER, 60.0, now=4e9)
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
    from tests.faults import FaultyDatabase, Switch

    stage.written(tmp_path, stage.texts(3))
    job_id = stage.started(database, tmp_path)
    switch = Switch()
    switch.cut = True
    runner = runner_of(FaultyDatabase(database, switch), compute(), tmp_path)
    assert not runner.run_due(job_id)
    assert not runner.run(job_id, 0)
    switch.cut = False
    assert runner.run_due(job_id)


FORGED: list[tuple[object, ...]] = [
    ("no such job", 0),
    (0, "no such job"),
    (None, None),
    ({"$oid": "x"}, 0),
    ("'; DROP TABLE job; --", 0),
    ("a\0b", 0),
    ("job", True),
    ("job", -1),
    ("job", 2**70),
    ("job", 1.5),
    ("x" * 1_000_000, 0),
]


@pytest.mark.parametrize("forged", FORGED, ids=lambda each: repr(each)[:30])
def test_a_forged_ring_is_dropped(
    database: Database, compute: StartChild, tmp_path: Path, forged: tuple[object, ...]
) -> None:
    """F28: no error, no claim, no process asked."""
    from millrace import topics
    from workers.app import worker_app

    stage.written(tmp_path, stage.texts(3))
    job_id = stage.started(database, tmp_path)
    child = compute()
    runner = runner_of(database, child, tmp_path)
    ring = worker_app(Settings(state=tmp_path), runner).tasks[topics.RING]

    ring(*forged)

    assert chunk_row(database, job_id).state == "pending"
    assert child.pid is None


def test_a_ring_is_answered(database: Database, compute: StartChild, tmp_path: Path) -> None:
    from millrace import topics
    from workers.app import worker_app

    stage.written(tmp_path, stage.texts(3))
    job_id = stage.started(database, tmp_path)
    runner = runner_of(database, compute(), tmp_path)
    ring = worker_app(Settings(state=tmp_path), runner).tasks[topics.RING]
    ring(job_id, 0)
    ring(job_id, 0)
    assert verbs(database, job_id) == ["claim", "commit"]
