"""Running jobs and workers of nothing but rows in the database, and a bell that notes its calls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from millrace.db.session import Database
from millrace.lifecycle import chunks, jobs, occupancy, workers
from millrace.settings import Settings
from millrace.types import ChunkResult, JobId, Lease, WorkerId
from scheduler import ringer
from scheduler.dispatcher import Dispatcher
from tests.lifecycle import stage as plain

ME = WorkerId("me")


class Bell:
    """A doorbell without a broker that notes whom it called, and whereto."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, WorkerId | None, list[tuple[JobId, int]]]] = []

    def ring(
        self,
        chunks: Sequence[tuple[JobId, int]],
        *,
        pool: str = "default",
        worker: WorkerId | None = None,
    ) -> None:
        self.calls.append((pool, worker, [*chunks]))

    def close(self) -> None:
        """Nothing to close."""


def running(
    database: Database,
    *borders: int,
    output: str = "file:///out",
    tenant: str = "default",
    **spec: Any,
) -> JobId:
    """A running job of chunks that end at `borders`."""
    with database.write() as connection:
        job_id = jobs.submit(connection, plain.spec(output, **spec), tenant=tenant)
        plain.planned(connection, job_id, *(borders or (10,)))
        assert jobs.start(connection, job_id)
    return job_id


def claim(database: Database, job_id: JobId, idx: int, ttl: float = 60.0) -> Lease:
    with database.write() as connection:
        lease = chunks.claim(connection, job_id, idx, ME, ttl)
    assert lease is not None
    return lease


def commit(database: Database, job_id: JobId, idx: int, rows: ChunkResult) -> None:
    lease = claim(database, job_id, idx)
    with database.write() as connection:
        chunks.commit(connection, lease, rows)


def dispatcher_of(
    database: Database, bell: ringer.Bell, *, job_id: JobId | None = None, **changes: Any
) -> Dispatcher:
    settings = Settings(**{"re_ring_seconds": 30.0, **changes})
    return Dispatcher(database, bell, settings, interval=1.0, job_id=job_id)


def rung(database: Database, pool: str = "default") -> list[tuple[JobId, int]]:
    """What is rung and not begun, in the order in which workers take it."""
    with database.read() as connection:
        return [(each.job_id, each.idx) for each in occupancy.window(connection, pool)]


def hired(database: Database, *names: str, models: Sequence[str] = (), **place: Any) -> None:
    """Workers on the roster that have just been seen."""
    with database.write() as connection:
        for name in names:
            workers.register(connection, WorkerId(name), "host", 1, **place)
            workers.seen(connection, WorkerId(name), models)
