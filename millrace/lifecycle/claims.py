"""Verbs by which a worker comes to hold chunks: as the first, or as the twin of a slow one."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Update, select, update

from millrace.db import tables
from millrace.db.now import db_now
from millrace.lifecycle import events
from millrace.lifecycle.guards import among, share_job, stands
from millrace.lifecycle.transitions import CLAIMABLE, ChunkVerb
from millrace.types import ChunkKind, ChunkState, JobId, Lease, Span, WorkerId


@dataclass(frozen=True, slots=True)
class _Claim:
    """Who wants which kind of chunks of which job."""

    job_id: JobId
    kind: ChunkKind
    token: str
    worker: WorkerId
    ttl: float
    now: float | None


def claim(
    conn: Connection,
    job_id: JobId,
    idx: int,
    worker: WorkerId,
    ttl: float,
    *,
    now: float | None = None,
) -> Lease | None:
    """`claim_many` for a single chunk; None where it is not to be had at this moment."""
    return next(iter(claim_many(conn, job_id, [idx], worker, ttl, now=now)), None)


def claim_many(
    conn: Connection,
    job_id: JobId,
    idxs: Sequence[int],
    worker: WorkerId,
    ttl: float,
    *,
    only: ChunkKind | None = None,
    now: float | None = None,
) -> list[Lease]:
    """pending → leased for `ttl` seconds, for those of a job's chunks that are to be had now.

    What another worker holds and was offered is leased to this one as well, as its twin: same
    attempt, a token of its own. The leases come in the order of `idxs` and share one token; there
    are none where the job is not in the state for chunks of the kind `only`.
    """
    state = share_job(conn, job_id)
    kind = None if state is None else CLAIMABLE.get(state)
    if kind is None or only not in (None, kind) or not idxs:
        return []
    wish = _Claim(job_id, kind, uuid.uuid4().hex, worker, ttl, now)
    held = _take(conn, wish, _first(wish, idxs), ChunkVerb.CLAIM, ChunkState.PENDING)
    rest = [idx for idx in idxs if idx not in held]
    if rest:
        held |= _take(conn, wish, _twin(wish, rest), ChunkVerb.TWIN, ChunkState.LEASED)
    return [held[idx] for idx in dict.fromkeys(idxs) if idx in held]


def _first(wish: _Claim, idxs: Sequence[int]) -> Update:
    chunk = tables.chunk.c
    wanted = (
        chunk.job_id == wish.job_id,
        chunk.idx.in_(idxs),
        stands(ChunkState.PENDING),
        among(chunk.kind, [wish.kind]),
        chunk.not_before <= db_now(wish.now),
    )
    # Whoever else is about to claim one of them gets it: nobody waits for anybody.
    free = select(chunk.idx).where(*wanted).with_for_update(skip_locked=True).cte("free")
    return (
        update(tables.chunk)
        .where(*wanted, chunk.idx.in_(select(free.c.idx)))
        .values(
            state=ChunkState.LEASED,
            attempt=chunk.attempt + 1,
            token=wish.token,
            owner=wish.worker,
            lease_until=db_now(wish.now) + wish.ttl,
            leased_at=db_now(wish.now),
        )
    )


def _twin(wish: _Claim, idxs: Sequence[int]) -> Update:
    chunk = tables.chunk.c
    return (
        update(tables.chunk)
        .where(
            chunk.job_id == wish.job_id,
            chunk.idx.in_(idxs),
            stands(ChunkState.LEASED),
            chunk.offered_at.is_not(None),
            chunk.twin_token.is_(None),
            chunk.owner != wish.worker,
        )
        .values(
            twin_token=wish.token,
            twin_owner=wish.worker,
            twin_until=db_now(wish.now) + wish.ttl,
            twin_at=db_now(wish.now),
        )
    )


def _take(
    conn: Connection, wish: _Claim, taking: Update, verb: ChunkVerb, before: ChunkState
) -> dict[int, Lease]:
    chunk = tables.chunk.c
    rows = conn.execute(
        taking.returning(
            chunk.idx,
            chunk.start_pos,
            chunk.end_pos,
            chunk.attempt,
            chunk.crash_count,
            chunk.suspects,
        )
    ).all()
    events.record(
        conn,
        wish.job_id,
        verb,
        before,
        ChunkState.LEASED,
        idxs=[(row.idx, row.attempt) for row in rows],
        worker=wish.worker,
        now=wish.now,
    )
    return {
        row.idx: Lease(
            job_id=wish.job_id,
            idx=row.idx,
            kind=wish.kind,
            span=Span(row.start_pos, row.end_pos),
            attempt=row.attempt,
            token=wish.token,
            worker=wish.worker,
            crash_count=row.crash_count,
            suspects=tuple(row.suspects or ()),
        )
        for row in rows
    }
