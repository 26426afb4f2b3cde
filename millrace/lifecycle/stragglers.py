"""Who holds what for how long, and how long others took: for finding those that are too slow."""

from __future__ import annotations

from sqlalchemy import Connection, func, select

from millrace.db import tables
from millrace.db.now import db_now
from millrace.lifecycle.guards import among
from millrace.lifecycle.transitions import ChunkVerb
from millrace.lifecycle.views import LeaseView
from millrace.types import ChunkKind, ChunkState, JobId, WorkerId

_LOOK_BACK = 10
"""Events that are read for each commit that is asked for, before the look gives up."""


def leases(conn: Connection, job_id: JobId, *, now: float | None = None) -> list[LeaseView]:
    """The leased chunks of a job, those that have been held longest first."""
    chunk = tables.chunk.c
    held = func.coalesce(db_now(now) - chunk.leased_at, 0.0).label("held_seconds")
    found = conn.execute(
        select(*(chunk.idx, chunk.owner, chunk.weight, chunk.twin_token, chunk.offered_at, held))
        .where(
            chunk.job_id == job_id,
            among(chunk.state, [ChunkState.LEASED]),
            among(chunk.kind, [ChunkKind.INFER]),
        )
        .order_by(held.desc(), chunk.idx)
    )
    return [
        LeaseView(
            idx=row.idx,
            owner=WorkerId(row.owner),
            held_seconds=row.held_seconds,
            weight=row.weight,
            twinned=row.twin_token is not None,
            offered=row.offered_at is not None,
        )
        for row in found
    ]


def pace(conn: Connection, job_id: JobId, sample: int = 100) -> list[float]:
    """Seconds from claim to commit of the chunks of a job that were committed last, newest first.

    At most `sample`, and fewer where much else has happened to the job since.
    """
    event, chunk = tables.event.c, tables.chunk.c
    # The history knows the newest ones in order; an index of its own would slow every commit.
    recent = (
        select(event.id, event.idx, event.verb)
        .where(event.job_id == job_id)
        .order_by(event.id.desc())
        .limit(sample * _LOOK_BACK)
        .subquery()
    )
    found = conn.execute(
        select(chunk.finished_at - chunk.leased_at)
        .join(recent, recent.c.idx == chunk.idx)
        .where(
            chunk.job_id == job_id,
            among(chunk.state, [ChunkState.COMMITTED]),
            among(chunk.kind, [ChunkKind.INFER]),
            chunk.leased_at.is_not(None),
            recent.c.verb == ChunkVerb.COMMIT,
        )
        .order_by(recent.c.id.desc())
        .limit(sample)
    )
    return list(found.scalars())
