"""Verbs by which a job's results become public: freeze, then publish, abandon or recompute."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, func, insert, select, update

from millrace.db import tables
from millrace.db.now import db_now
from millrace.errors import LeaseLost
from millrace.lifecycle import events
from millrace.lifecycle.guards import (
    LET_GO,
    among,
    has_open_chunk,
    held,
    lock_job,
    move_job,
)
from millrace.lifecycle.planning import next_idx
from millrace.lifecycle.reopening import reopen_settled
from millrace.lifecycle.transitions import CHUNK_SETTLED, ChunkVerb, JobVerb
from millrace.types import ChunkKind, ChunkState, JobId, JobState, Lease

RECOMPUTATIONS = 3
"""How often a job's chunks are computed again because their results were found unsound."""


def freeze(conn: Connection, job_id: JobId, *, now: float | None = None) -> bool:
    """running → finalizing, once the plan is complete and every chunk of it has come to its end.

    Adds the one `finalize` chunk, whose holder publishes. False where it is not time yet, or where
    a cancellation or another finisher came first.
    """
    frozen = move_job(
        conn,
        job_id,
        JobVerb.FREEZE,
        JobState.FINALIZING,
        tables.job.c.plan_complete,
        ~has_open_chunk(),
        now=now,
    )
    if frozen:
        _add_finalize_chunk(conn, job_id)
    return frozen


def publish(
    conn: Connection, lease: Lease, manifest_sha256: str, *, now: float | None = None
) -> JobState:
    """finalizing → succeeded, or partial where there is any error record; ends the lease as well.

    To be called once the manifest is in its place, by the holder of the finalize chunk; `LeaseLost`
    for anybody else, or where the job has ended.
    """
    lock_job(conn, lease.job_id)
    _end_lease(
        conn,
        lease,
        ChunkVerb.COMMIT,
        ChunkState.COMMITTED,
        now,
        lease_until=None,
        rows_ok=0,
        rows_err=0,
        finished_at=db_now(now),
    )
    target = JobState.PARTIAL if _has_error_rows(conn, lease.job_id) else JobState.SUCCEEDED
    published = move_job(
        conn,
        lease.job_id,
        JobVerb.PUBLISH,
        target,
        now=now,
        manifest_sha256=manifest_sha256,
        finished_at=db_now(now),
    )
    if not published:
        raise LeaseLost
    return target


def abandon(
    conn: Connection, lease: Lease, code: str, reason: str, *, now: float | None = None
) -> None:
    """finalizing → failed, where it is proven that our manifest is not and will never be there.

    That is: the output holds another manifest or our tombstone. Never for an unknown outcome of the
    publication. `LeaseLost` for anybody but the holder of the finalize chunk.
    """
    lock_job(conn, lease.job_id)
    _end_lease(conn, lease, ChunkVerb.RELEASE, ChunkState.PENDING, now, **LET_GO)
    abandoned = move_job(
        conn,
        lease.job_id,
        JobVerb.ABANDON,
        JobState.FAILED,
        now=now,
        detail={"code": code},
        reason_code=code,
        reason=reason,
        finished_at=db_now(now),
    )
    if not abandoned:
        raise LeaseLost


def recompute(
    conn: Connection,
    lease: Lease,
    idxs: Collection[int],
    code: str,
    reason: str,
    *,
    now: float | None = None,
) -> bool:
    """finalizing → running: the results of these chunks cannot be published, so they run again.

    To be called by the holder of the finalize chunk, who has seen that no manifest is there. False
    where one may still come, from an attempt at publishing that fell silent or had no answer, and
    where the job was sent back `RECOMPUTATIONS` times already. `LeaseLost` for anybody else.
    """
    lock_job(conn, lease.job_id)
    if not idxs or not _alone(conn, lease) or _sent_back(conn, lease.job_id) >= RECOMPUTATIONS:
        return False
    _end_lease(conn, lease, ChunkVerb.RELEASE, ChunkState.PENDING, now, **LET_GO)
    moved = move_job(
        conn,
        lease.job_id,
        JobVerb.RECOMPUTE,
        JobState.RUNNING,
        now=now,
        detail={"code": code, "reason": reason, "chunks": len(idxs)},
    )
    if not moved:
        raise LeaseLost
    reopen_settled(conn, lease.job_id, idxs, now=now)
    return True


def _alone(conn: Connection, lease: Lease) -> bool:
    """Whether each earlier attempt at publishing is known to have ended without a manifest."""
    chunk = tables.chunk.c
    row = conn.execute(
        select(chunk.infra_count, chunk.lost_count, chunk.crash_count).where(held(lease))
    ).one_or_none()
    if row is None:
        raise LeaseLost
    return not any(row)


def _sent_back(conn: Connection, job_id: JobId) -> int:
    event = tables.event.c
    found = select(func.count()).where(event.job_id == job_id, event.verb == JobVerb.RECOMPUTE)
    return conn.scalar(found) or 0


def _end_lease(
    conn: Connection,
    lease: Lease,
    verb: ChunkVerb,
    target: ChunkState,
    now: float | None,
    **values: object,
) -> None:
    ended = conn.execute(
        update(tables.chunk).where(held(lease)).values(state=target, **values)
    ).rowcount
    if not ended:
        raise LeaseLost
    events.record(
        conn,
        lease.job_id,
        verb,
        ChunkState.LEASED,
        target,
        idxs=[(lease.idx, lease.attempt)],
        worker=lease.worker,
        now=now,
    )


def _has_error_rows(conn: Connection, job_id: JobId) -> bool:
    bad = select(func.count()).where(
        tables.chunk.c.job_id == job_id,
        among(tables.chunk.c.kind, [ChunkKind.INFER]),
        among(tables.chunk.c.state, CHUNK_SETTLED),
        tables.chunk.c.rows_err > 0,
    )
    return bool(conn.scalar(bad))


def _add_finalize_chunk(conn: Connection, job_id: JobId) -> None:
    # One that an abandoned publication has left, fenced anew by `retry`, serves again.
    there = select(tables.chunk.c.idx).where(
        tables.chunk.c.job_id == job_id, among(tables.chunk.c.kind, [ChunkKind.FINALIZE])
    )
    if conn.execute(there).first() is not None:
        return
    end = conn.scalar(select(tables.job.c.position_end).where(tables.job.c.id == job_id))
    assert end is not None, "a job that was frozen is there"
    row = {
        "job_id": job_id,
        "idx": next_idx(conn, job_id),
        "kind": ChunkKind.FINALIZE,
        "state": ChunkState.PENDING,
        "start_pos": end,
        "end_pos": end + 1,
        "weight": 0,
    }
    conn.execute(insert(tables.chunk).values(row))
