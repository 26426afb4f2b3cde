"""The workers there are."""

from __future__ import annotations

from sqlalchemy import Connection, select

from millrace.db import tables
from millrace.db.now import db_now
from millrace.lifecycle.views import WorkerView
from millrace.types import WorkerId


def workers(
    conn: Connection, *, seen_within: float | None = None, now: float | None = None
) -> list[WorkerView]:
    """Those that have not left, by their start; with `seen_within`, seen so many seconds ago."""
    worker = tables.worker.c
    silent = (db_now(now) - worker.seen_at).label("silent_seconds")
    found = (
        select(tables.worker, silent)
        .where(worker.left_at.is_(None))
        .order_by(worker.started_at, worker.id)
    )
    if seen_within is not None:
        found = found.where(worker.seen_at >= db_now(now) - seen_within)
    return [
        WorkerView(
            id=WorkerId(row.id),
            host=row.host,
            pid=row.pid,
            pool=row.pool,
            device=row.device,
            version=row.version,
            models=tuple(row.models or ()),
            draining=row.draining,
            started_at=row.started_at,
            seen_at=row.seen_at,
            silent_seconds=row.silent_seconds,
        )
        for row in conn.execute(found)
    ]
