"""Verbs on worker processes: they come, are seen, and go."""

from __future__ import annotations

from sqlalchemy import Connection, insert, update

from millrace.db import tables
from millrace.db.now import db_now
from millrace.types import WorkerId


def register(
    conn: Connection, worker: WorkerId, host: str, pid: int, *, now: float | None = None
) -> None:
    """Note a new worker process; its id is never used twice."""
    conn.execute(
        insert(tables.worker).values(
            id=worker, host=host, pid=pid, started_at=db_now(now), seen_at=db_now(now)
        )
    )


def seen(conn: Connection, worker: WorkerId, *, now: float | None = None) -> bool:
    """Note that it lives; false for a worker that has left or is not known."""
    return _note(conn, worker, now, "seen_at")


def leave(conn: Connection, worker: WorkerId, *, now: float | None = None) -> bool:
    """Note that it has ended, by its own word or its parent's; false where that was known."""
    return _note(conn, worker, now, "left_at")


def _note(conn: Connection, worker: WorkerId, now: float | None, column: str) -> bool:
    noted = conn.execute(
        update(tables.worker)
        .where(tables.worker.c.id == worker, tables.worker.c.left_at.is_(None))
        .values({column: db_now(now)})
    ).rowcount
    return bool(noted)
