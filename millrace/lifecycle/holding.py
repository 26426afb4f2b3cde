"""Verbs of the holder of chunks: to hold on, or to let go without results."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import JSON, ColumnElement, Connection, case, exists, literal, null, update

from millrace.db import tables
from millrace.db.now import db_now
from millrace.errors import LeaseLost
from millrace.lifecycle import events
from millrace.lifecycle.guards import among, batches, held, held_together, lock_job, without
from millrace.lifecycle.jobs import fail
from millrace.lifecycle.retry import backoff
from millrace.lifecycle.transitions import HONOURED, ChunkVerb
from millrace.types import ChunkKind, ChunkState, Json, Lease

REFUSALS_BEFORE_FAILURE = 2
"""Refusals of a job's model, in one run of it, before the job fails instead of every chunk."""


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

    Of a twin only the time is noted. Raises `LeaseLost` where the chunk is not ours any more or
    the job no longer wants it: the holder stops at once. A pause is no reason to stop.
    """
    chunk, in_flight = tables.chunk.c, list(suspects)
    leads = chunk.token == lease.token
    rows = literal(in_flight, JSON) if in_flight else null()
    renewed = conn.execute(
        update(tables.chunk)
        .where(held(lease), _wanted(lease.kind))
        .values(
            **_prolonged(lease.token, ttl, now),
            progress_rows=case((leads, progress_rows), else_=chunk.progress_rows),
            in_flight=case((leads, rows), else_=chunk.in_flight),
        )
    ).rowcount
    if not renewed:
        raise LeaseLost


def renew_many(
    conn: Connection, leases: Iterable[Lease], ttl: float, *, now: float | None = None
) -> list[Lease]:
    """`renew` for chunks of a batch that wait for their turn; returns those that are still ours."""
    chunk, kept = tables.chunk.c, []
    for batch in batches(leases):
        renewed = conn.execute(
            update(tables.chunk)
            .where(held_together(batch), _wanted(batch[0].kind))
            .values(**_prolonged(batch[0].token, ttl, now))
            .returning(chunk.idx)
        )
        ours = set(renewed.scalars())
        kept += [lease for lease in batch if lease.idx in ours]
    return kept


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
    infra_count = tables.chunk.c.infra_count + int(infra)
    detail: dict[str, Json] = {"reason": reason, "infra": infra}
    if not _let_go(
        conn, [lease], ChunkVerb.RELEASE, detail, now, delay=delay, infra_count=infra_count
    ):
        raise LeaseLost


def release_many(
    conn: Connection, leases: Iterable[Lease], reason: str, *, now: float | None = None
) -> list[Lease]:
    """leased → pending for chunks of a batch that were not begun; returns those that were ours."""
    detail: dict[str, Json] = {"reason": reason, "infra": False}
    released = []
    for batch in batches(leases):
        released += _let_go(conn, batch, ChunkVerb.RELEASE, detail, now)
    return released


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
    detail: dict[str, Json] = {"code": code, "message": message}
    delay = backoff(refusals, random.random())
    if not _let_go(conn, [lease], ChunkVerb.REFUSE_MODEL, detail, now, delay=delay):
        raise LeaseLost
    if refusals < REFUSALS_BEFORE_FAILURE:
        return False
    return fail(conn, lease.job_id, code, message, now=now)


def _wanted(kind: ChunkKind) -> ColumnElement[bool]:
    return exists().where(
        tables.job.c.id == tables.chunk.c.job_id,
        among(tables.job.c.state, HONOURED[kind]),
    )


def _prolonged(token: str, ttl: float, now: float | None) -> dict[str, Any]:
    chunk, until = tables.chunk.c, db_now(now) + ttl
    return {
        "lease_until": case((chunk.token == token, until), else_=chunk.lease_until),
        "twin_until": case((chunk.twin_token == token, until), else_=chunk.twin_until),
    }


def _let_go(
    conn: Connection,
    batch: Sequence[Lease],
    verb: ChunkVerb,
    detail: Mapping[str, Json],
    now: float | None,
    *,
    delay: float = 0.0,
    **values: Any,
) -> list[Lease]:
    """End those leases of a batch that are still ours, and return them."""
    chunk, token = tables.chunk.c, batch[0].token
    rows = conn.execute(
        update(tables.chunk)
        .where(held_together(batch))
        .values(**without(token), not_before=db_now(now) + delay, **values)
        .returning(chunk.idx, chunk.attempt, chunk.state)
    ).all()
    for after in (ChunkState.PENDING, ChunkState.LEASED):
        events.record(
            conn,
            batch[0].job_id,
            verb,
            ChunkState.LEASED,
            after,
            idxs=[(row.idx, row.attempt) for row in rows if row.state == after],
            worker=batch[0].worker,
            detail=detail,
            now=now,
        )
    ours = {row.idx for row in rows}
    return [lease for lease in batch if lease.idx in ours]
