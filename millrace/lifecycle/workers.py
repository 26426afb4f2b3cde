"""Verbs on worker processes: they come, are seen, and go."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, insert, update

from millrace.db import tables
from millrace.db.now import db_now
from millrace.types import WorkerId


def register(
    conn: Connection,
    worker: WorkerId,
    host: str,
    pid: int,
    *,
    pool: str = "default",
    device: str = "",
    version: str = "",
    now: float | None = None,
) -> None:
    """Note a new worker process; its id is never used twice."""
    conn.execute(
        insert(tables.worker).values(
            id=worker,
            host=host,
            pid=pid,
            started_at=db_now(now),
            seen_at=db_now(now),
            pool=pool,
            device=device,
            version=version,
        )
    )


def seen(
    conn: Connection,
    worker: WorkerId,
    models: Iterable[str] = (),
    *,
    draining: bool = False,
    now: float | None = None,
) -> bool:
    """Note that it lives, and which models it holds; false where it has left or is not known."""
    return _note(conn, worker, seen_at=db_now(now), models=list(models), draining=draining)


def leave(conn: Connection, worker: WorkerId, *, now: float | None = None) -> bool:
    """Note that it has ended, by its own word or its parent's; false where that was known."""
    return _note(conn, worker, left_at=db_now(now))


def _note(conn: Connection, worker: WorkerId, **values: object) -> bool:
    noted = conn.execute(
        update(tables.worker)
        .where(tables.worker.c.id == worker, tables.worker.c.left_at.is_(None))
        .values(**values)
    ).rowcount
    return bool(noted)
