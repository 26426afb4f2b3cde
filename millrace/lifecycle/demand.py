"""What there is to do: for the scheduler, which decides, and for workers, which look."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    func,
    or_,
    select,
)

from millrace.db import tables
from millrace.db.now import db_now
from millrace.lifecycle import tally
from millrace.lifecycle.guards import among, has_pending_chunk
from millrace.lifecycle.transitions import CLAIMABLE
from millrace.lifecycle.views import Backlog
from millrace.types import ChunkKind, ChunkState, JobId, JobState, WorkerId


def due(
    conn: Connection,
    *,
    limit: int,
    pool: str | None = None,
    job_id: JobId | None = None,
    kind: ChunkKind | None = None,
    unrung_for: float | None = None,
    now: float | None = None,
) -> list[tuple[JobId, int]]:
    """At most `limit` chunks that could be claimed now, the most urgent first.

    With `unrung_for`, only those that nobody was called to within so many seconds.
    """
    live = _live(pool, job_id, kind).where(_has_due(now))
    found: list[tuple[JobId, int]] = []
    # Job by job, so that the index on (job, place) gives the first few without sorting millions.
    for row in conn.execute(live).all():
        if len(found) >= limit:
            break
        kind = CLAIMABLE[JobState(row.state)]
        rows = conn.execute(_due_of(row.id, kind, limit - len(found), unrung_for, now))
        found += [(JobId(row.id), idx) for idx in rows.scalars()]
    return found


def next_rung(
    conn: Connection,
    *,
    pool: str,
    worker: WorkerId,
    limit: int,
    affinity: float,
    job_id: JobId | None = None,
    kind: ChunkKind | None = None,
    now: float | None = None,
) -> list[tuple[JobId, int]]:
    """The chunk that a worker of this pool should begin next, by the order of calls.

    With it come up to `limit` - 1 more of the same job. A chunk that was called out to another
    worker is left to it for `affinity` seconds. Where nothing is called out, a slow chunk of
    another worker that is offered to a twin; empty where there is nothing at all.
    """
    chunk = tables.chunk.c
    rung = and_(
        among(chunk.state, [ChunkState.PENDING]),
        chunk.rung_at.is_not(None),
        chunk.not_before <= db_now(now),
        or_(
            chunk.rung_to.is_(None),
            chunk.rung_to == worker,
            chunk.rung_at <= db_now(now) - affinity,
        ),
    )
    first = conn.scalar(
        select(chunk.job_id)
        .join(tables.job, tables.job.c.id == chunk.job_id)
        .where(rung, _wanted_kind(), *_narrowed(pool, job_id, kind))
        .order_by(chunk.rung_at)
        .limit(1)
    )
    if first is None:
        return _offered(conn, pool, worker, job_id, kind)
    more = select(chunk.idx).where(chunk.job_id == first, rung).order_by(chunk.rung_at).limit(limit)
    return [(JobId(first), idx) for idx in conn.execute(more).scalars()]


def backlog(conn: Connection, pool: str, *, now: float | None = None) -> list[Backlog]:
    """Every job of a pool of which some chunk could be claimed now, the most urgent first."""
    job, chunk = tables.job.c, tables.chunk.c
    leased = select(func.sum(chunk.weight)).where(
        chunk.job_id == job.id, among(chunk.state, [ChunkState.LEASED])
    )
    begun = func.coalesce(leased.correlate(tables.job).scalar_subquery(), 0)
    pending_weight = job.weight_total - tally.total("weight_done") - begun
    found = (
        _live(pool)
        .where(_has_due(now))
        .outerjoin(tables.tally, tables.tally.c.job_id == job.id)
        .group_by(job.id)
        .with_only_columns(
            *(job.id, job.state, job.tenant, job.priority, job.created_at, job.expires_at),
            job.model_sha256,
            pending_weight.label("pending_weight"),
            begun.label("leased_weight"),
            tally.open_chunks().label("chunks_open"),
        )
    )
    return [_backlog(row) for row in conn.execute(found)]


def pools(conn: Connection) -> list[str]:
    """The pools of which some job is running or being published."""
    named = select(tables.job.c.pool).where(_in_progress()).distinct().order_by(tables.job.c.pool)
    return list(conn.execute(named).scalars())


def _live(
    pool: str | None, job_id: JobId | None = None, kind: ChunkKind | None = None
) -> Select[Any]:
    job = tables.job.c
    return (
        select(job.id, job.state)
        .where(_in_progress(), *_narrowed(pool, job_id, kind))
        .order_by(job.priority.desc(), job.id)
    )


def _narrowed(
    pool: str | None, job_id: JobId | None, kind: ChunkKind | None
) -> list[ColumnElement[bool]]:
    job = tables.job.c
    given = ((job.pool, pool), (job.id, job_id))
    narrow = [column == value for column, value in given if value is not None]
    if kind is not None:
        narrow.append(among(job.state, [state for state, of in CLAIMABLE.items() if of is kind]))
    return narrow


def _in_progress() -> ColumnElement[bool]:
    return among(tables.job.c.state, CLAIMABLE)


def _wanted_kind() -> ColumnElement[bool]:
    """The chunk is of the kind that its job asks for in its present state."""
    kinds = (
        and_(among(tables.job.c.state, [state]), among(tables.chunk.c.kind, [kind]))
        for state, kind in CLAIMABLE.items()
    )
    return or_(*kinds)


def _has_due(now: float | None) -> ColumnElement[bool]:
    return has_pending_chunk(tables.chunk.c.not_before <= db_now(now), _wanted_kind())


def _due_of(
    job_id: str, kind: ChunkKind, limit: int, unrung_for: float | None, now: float | None
) -> Select[Any]:
    chunk = tables.chunk.c
    found = select(chunk.idx).where(
        chunk.job_id == job_id,
        among(chunk.state, [ChunkState.PENDING]),
        among(chunk.kind, [kind]),
        chunk.not_before <= db_now(now),
    )
    if unrung_for is not None:
        forgotten = chunk.rung_at < db_now(now) - unrung_for
        found = found.where(or_(chunk.rung_at.is_(None), forgotten))
    return found.order_by(chunk.start_pos).limit(limit)


def _offered(
    conn: Connection,
    pool: str,
    worker: WorkerId,
    job_id: JobId | None,
    kind: ChunkKind | None,
) -> list[tuple[JobId, int]]:
    chunk = tables.chunk.c
    row = conn.execute(
        select(chunk.job_id, chunk.idx)
        .join(tables.job, tables.job.c.id == chunk.job_id)
        .where(
            among(chunk.state, [ChunkState.LEASED]),
            chunk.offered_at.is_not(None),
            chunk.twin_token.is_(None),
            chunk.owner != worker,
            among(tables.job.c.state, [JobState.RUNNING]),
            *_narrowed(pool, job_id, kind),
        )
        .order_by(chunk.offered_at)
        .limit(1)
    ).one_or_none()
    return [] if row is None else [(JobId(row.job_id), row.idx)]


def _backlog(row: Row[*tuple[Any, ...]]) -> Backlog:
    kind = CLAIMABLE[JobState(row.state)]
    publishing = kind is ChunkKind.FINALIZE
    return Backlog(
        job_id=JobId(row.id),
        tenant=row.tenant,
        priority=row.priority,
        created_at=row.created_at,
        expires_at=row.expires_at,
        model_sha256=row.model_sha256,
        kind=kind,
        pending_weight=0 if publishing else int(row.pending_weight),
        leased_weight=int(row.leased_weight),
        chunks_open=1 if publishing else int(row.chunks_open),
    )
