"""Verbs on one chunk: what the holder of a lease may do, and who may become its holder.

Fencing makes all of this safe, not time: a lease that has run out is still good until the reaper
takes it away, and from then on its attempt and token fit nothing.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable
from typing import Any, Literal

from sqlalchemy import Connection, exists, select, update

from millrace.db import tables
from millrace.db.now import db_now
from millrace.errors import LeaseLost
from millrace.lifecycle import events
from millrace.lifecycle.crashes import crash, reap, release_job, release_owned
from millrace.lifecycle.guards import LET_GO, among, held, lock_job, share_job, this
from millrace.lifecycle.jobs import fail
from millrace.lifecycle.retry import backoff
from millrace.lifecycle.transitions import CLAIMABLE, HONOURED, ChunkVerb
from millrace.types import (
    ChunkKind,
    ChunkResult,
    ChunkState,
    JobId,
    Json,
    Lease,
    Span,
    WorkerId,
)

__all__ = [
    "claim",
    "commit",
    "crash",
    "reap",
    "refuse_model",
    "release",
    "release_job",
    "release_owned",
    "renew",
    "ring",
    "settled",
]

REFUSALS_BEFORE_FAILURE = 2
"""Refusals of a job's model, in one run of it, before the job fails instead of every chunk."""


def claim(
    conn: Connection,
    job_id: JobId,
    idx: int,
    worker: WorkerId,
    ttl: float,
    *,
    now: float | None = None,
) -> Lease | None:
    """pending → leased for `ttl` seconds; None where the chunk is not to be had at this moment."""
    state = share_job(conn, job_id)
    kind = None if state is None else CLAIMABLE.get(state)
    if kind is None:
        return None
    chunk, token = tables.chunk.c, uuid.uuid4().hex
    row = conn.execute(
        update(tables.chunk)
        .where(
            this(job_id, idx),
            among(chunk.state, [ChunkState.PENDING]),
            among(chunk.kind, [kind]),
            chunk.not_before <= db_now(now),
        )
        .values(
            state=ChunkState.LEASED,
            attempt=chunk.attempt + 1,
            token=token,
            owner=worker,
            lease_until=db_now(now) + ttl,
        )
        .returning(chunk.start_pos, chunk.end_pos, chunk.attempt, chunk.crash_count, chunk.suspects)
    ).one_or_none()
    if row is None:
        return None
    lease = Lease(
        job_id=job_id,
        idx=idx,
        kind=kind,
        span=Span(row.start_pos, row.end_pos),
        attempt=row.attempt,
        token=token,
        worker=worker,
        crash_count=row.crash_count,
        suspects=tuple(row.suspects or ()),
    )
    _record(conn, lease, ChunkVerb.CLAIM, ChunkState.PENDING, ChunkState.LEASED, now)
    return lease


def renew(
    conn: Connection,
    lease: Lease,
    ttl: float,
    progress_rows: int = 0,
    suspects: Iterable[int] = (),
    *,
    now: float | None = None,
) -> None:
    """Hold on for `ttl` seconds more, and note how far it is and which rows are in flight.

    Raises `LeaseLost` where the chunk is not ours any more or the job no longer wants it: the
    holder stops at once. A pause is no reason to stop.
    """
    wanted = exists().where(
        tables.job.c.id == tables.chunk.c.job_id,
        among(tables.job.c.state, HONOURED[lease.kind]),
    )
    renewed = conn.execute(
        update(tables.chunk)
        .where(held(lease), wanted)
        .values(
            lease_until=db_now(now) + ttl,
            progress_rows=progress_rows,
            in_flight=list(suspects) or None,
        )
    ).rowcount
    if not renewed:
        raise LeaseLost


def commit(
    conn: Connection, lease: Lease, result: ChunkResult, *, now: float | None = None
) -> None:
    """leased → committed: these parts are the chunk's results, for ever.

    Raises `LeaseLost` where the chunk is not ours any more, or where the job was cancelled, failed
    or expired meanwhile. What `settled` says tells the outcome when the connection dies in here.
    """
    if share_job(conn, lease.job_id) not in HONOURED[ChunkKind.INFER]:
        raise LeaseLost
    committed = conn.execute(
        update(tables.chunk)
        .where(held(lease))
        .values(
            state=ChunkState.COMMITTED,
            lease_until=None,
            in_flight=None,
            progress_rows=0,
            rows_ok=result.rows_ok,
            rows_err=result.rows_err,
            part_path=result.part and result.part.path,
            part_bytes=result.part and result.part.bytes,
            part_sha256=result.part and result.part.sha256,
            error_path=result.error_part and result.error_part.path,
            error_bytes=result.error_part and result.error_part.bytes,
            error_sha256=result.error_part and result.error_part.sha256,
            error_rows=result.error_part and result.error_part.rows,
            input_rows=[list(pair) for pair in result.input_rows],
            fingerprint=result.fingerprint,
            finished_at=db_now(now),
        )
    ).rowcount
    if not committed:
        raise LeaseLost
    _record(conn, lease, ChunkVerb.COMMIT, ChunkState.LEASED, ChunkState.COMMITTED, now)


def settled(conn: Connection, lease: Lease) -> Literal["committed", "leased", "lost"]:
    """What became of a commit whose outcome is unknown: done, to be tried again, or lost."""
    state = conn.scalar(
        select(tables.chunk.c.state).where(
            this(lease.job_id, lease.idx),
            tables.chunk.c.attempt == lease.attempt,
            tables.chunk.c.token == lease.token,
        )
    )
    if state == ChunkState.COMMITTED:
        return "committed"
    return "leased" if state == ChunkState.LEASED else "lost"


def release(
    conn: Connection,
    lease: Lease,
    *,
    infra: bool,
    delay: float,
    reason: str,
    now: float | None = None,
) -> None:
    """leased → pending, not to be claimed for `delay` seconds; counts no crash.

    `infra` counts a fault of the surroundings (storage, disk, network). Raises `LeaseLost`.
    """
    chunk = tables.chunk.c
    _let_go(
        conn,
        lease,
        ChunkVerb.RELEASE,
        {"reason": reason, "infra": infra},
        now,
        not_before=db_now(now) + delay,
        infra_count=chunk.infra_count + int(infra),
    )


def refuse_model(
    conn: Connection, lease: Lease, code: str, message: str, *, now: float | None = None
) -> bool:
    """leased → pending, because the model cannot be loaded here; raises `LeaseLost`.

    The second refusal in one run of the job, by whichever worker, fails the job with this cause,
    so that a broken model does not burn every chunk; true is returned then.
    """
    lock_job(conn, lease.job_id)
    refusals = conn.scalar(
        update(tables.job)
        .where(tables.job.c.id == lease.job_id)
        .values(model_refusals=tables.job.c.model_refusals + 1)
        .returning(tables.job.c.model_refusals)
    )
    assert refusals is not None, "the job was just locked"
    _let_go(
        conn,
        lease,
        ChunkVerb.REFUSE_MODEL,
        {"code": code, "message": message},
        now,
        not_before=db_now(now) + backoff(refusals, random.random()),
    )
    if refusals < REFUSALS_BEFORE_FAILURE:
        return False
    return fail(conn, lease.job_id, code, message, now=now)


def ring(conn: Connection, job_id: JobId, idx: int, *, now: float | None = None) -> bool:
    """Note that workers were told of a pending chunk; false where it is not pending any more."""
    rung = conn.execute(
        update(tables.chunk)
        .where(this(job_id, idx), among(tables.chunk.c.state, [ChunkState.PENDING]))
        .values(rung_at=db_now(now))
    ).rowcount
    return bool(rung)


def _let_go(
    conn: Connection,
    lease: Lease,
    verb: ChunkVerb,
    detail: dict[str, Json],
    now: float | None,
    **values: Any,
) -> None:
    released = conn.execute(
        update(tables.chunk).where(held(lease)).values(state=ChunkState.PENDING, **LET_GO, **values)
    ).rowcount
    if not released:
        raise LeaseLost
    _record(conn, lease, verb, ChunkState.LEASED, ChunkState.PENDING, now, detail)


def _record(
    conn: Connection,
    lease: Lease,
    verb: ChunkVerb,
    before: ChunkState,
    after: ChunkState,
    now: float | None,
    detail: dict[str, Json] | None = None,
) -> None:
    events.record(
        conn,
        lease.job_id,
        verb,
        before,
        after,
        idxs=[(lease.idx, lease.attempt)],
        worker=lease.worker,
        detail=detail,
        now=now,
    )
