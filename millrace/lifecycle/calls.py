"""Verbs that call workers to chunks: to pending ones, and to slow ones that may have a twin."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, case, exists, update

from millrace.db import tables
from millrace.db.now import db_now
from millrace.lifecycle import events
from millrace.lifecycle.guards import among, stands, this
from millrace.lifecycle.transitions import CLAIMABLE, ChunkVerb
from millrace.types import ChunkState, JobId, JobState, WorkerId

_STEP_SECONDS = 1e-6
"""Between two chunks that are rung for at once: enough to keep their order in a double."""


def ring_many(
    conn: Connection,
    job_id: JobId,
    idxs: Sequence[int],
    *,
    rung_to: WorkerId | None = None,
    order: int = 0,
    now: float | None = None,
) -> int:
    """Call workers to pending chunks, in this order; returns how many there still were.

    `order` is the place of the first one among all that are rung for at this moment. `rung_to`
    names the worker that should have them for the time being.
    """
    if not idxs:
        return 0
    chunk = tables.chunk.c
    places = {idx: (order + place) * _STEP_SECONDS for place, idx in enumerate(idxs)}
    wanted = exists().where(tables.job.c.id == chunk.job_id, among(tables.job.c.state, CLAIMABLE))
    return conn.execute(
        update(tables.chunk)
        .where(
            chunk.job_id == job_id,
            chunk.idx.in_(idxs),
            stands(ChunkState.PENDING),
            wanted,
        )
        .values(rung_at=db_now(now) + case(places, value=chunk.idx), rung_to=rung_to)
    ).rowcount


def unring(conn: Connection, job_ids: Collection[JobId], *, before: float) -> None:
    """Take back the calls of these jobs that nobody has heeded since that time."""
    if not job_ids:
        return
    chunk = tables.chunk.c
    conn.execute(
        update(tables.chunk)
        .where(
            chunk.job_id.in_(job_ids),
            among(chunk.state, [ChunkState.PENDING]),
            chunk.rung_at < before,
        )
        .values(rung_at=None, rung_to=None)
    )


def offer(conn: Connection, job_id: JobId, idx: int, *, now: float | None = None) -> bool:
    """Let another worker begin a leased chunk as well; false where that is not possible (again)."""
    chunk = tables.chunk.c
    wanted = exists().where(
        tables.job.c.id == chunk.job_id, among(tables.job.c.state, [JobState.RUNNING])
    )
    attempt = conn.scalar(
        update(tables.chunk)
        .where(
            this(job_id, idx),
            stands(ChunkState.LEASED),
            chunk.offered_at.is_(None),
            chunk.twin_token.is_(None),
            wanted,
        )
        .values(offered_at=db_now(now))
        .returning(chunk.attempt)
    )
    if attempt is None:
        return False
    events.record(
        conn,
        job_id,
        ChunkVerb.OFFER,
        ChunkState.LEASED,
        ChunkState.LEASED,
        idxs=[(idx, attempt)],
        now=now,
    )
    return True
