"""A worker inside the test process, with a real compute process of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from millrace.clock import SystemClock
from millrace.db.session import Database
from millrace.lifecycle import jobs, queries
from millrace.settings import Settings
from millrace.types import JobId, JobState, WorkerId
from scheduler.finisher import Finisher
from tests import jobs as stage
from tests.lifecycle.stage import chunk_row, history
from tests.waiting import until
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
