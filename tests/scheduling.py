"""Running jobs of nothing but rows in the database, and a bell that notes who was rung for."""

from __future__ import annotations

from typing import Any

from millrace.broker import Doorbell
from millrace.db.session import Database
from millrace.lifecycle import chunks
from millrace.types import ChunkResult, JobId, Lease, WorkerId
from scheduler.dispatcher import Dispatcher
from tests.lifecycle import stage as plain

ME = WorkerId("me")


class Bell(Doorbell):
    """A doorbell without a broker that notes who was rung for."""

    def __init__(self) -> None:
        super().__init__("")
        self.rung: list[tuple[str, int]] = []

    def ring(self, chunks: Any) -> None:
        self.rung += chunks


def running(database: Database, *borders: int, output: str = "file:///out") -> JobId:
    with database.write() as connection:
        return plain.running(connection, *borders, output=output)


def claim(database: Database, job_id: JobId, idx: int, ttl: float = 60.0) -> Lease:
    with database.write() as connection:
        lease = chunks.claim(connection, job_id, idx, ME, ttl)
    assert lease is not None
    return lease


def commit(database: Database, job_id: JobId, idx: int, rows: ChunkResult) -> None:
    lease = claim(database, job_id, idx)
    with database.write() as connection:
        chunks.commit(connection, lease, rows)


def dispatcher_of(database: Database, bell: Doorbell, **changes: Any) -> Dispatcher:
    asked: dict[str, Any] = {"window": 3, "re_ring": 30.0, "interval": 1.0}
    return Dispatcher(database, bell, **asked | changes)
