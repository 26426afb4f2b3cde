"""Verbs for attempts that ended without a word: counted, and after two of them judged.

The compute process may die (`crash`, told by its parent), the lease may run out (`reap`), or a
whole worker may be known to be gone (`release_owned`).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, assert_never

from sqlalchemy import ColumnElement, Connection, Row, and_, insert, select, update

from millrace.db import tables
from millrace.db.now import db_now
from millrace.errors import LeaseLost
from millrace.lifecycle import events
from millrace.lifecycle.guards import LET_GO, among, lock_job, this
from millrace.lifecycle.planning import next_idx
from millrace.lifecycle.retry import Bury, Retry, Split, Verdict, after_crash, backoff
from millrace.lifecycle.transitions import HONOURED, ChunkVerb
from millrace.types import ChunkKind, ChunkState, JobId, JobState, Json, Lease, Span, WorkerId

LOSSES_BEFORE_CRASH = 3
"""Attempts that a chunk may lose to its surroundings before the death of one more worker counts as
its own crash: what kills whole workers may be one of its rows."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The attempt that ended, as its row says."""

    job_id: JobId
    idx: int
    kind: ChunkKind
    span: Span
    weight: int
    crash_count: int
    attempt: int
    token: str
    worker: WorkerId

    def current(self) -> ColumnElement[bool]:
        return and_(
            this(self.job_id, self.idx),
            among(tables.chunk.c.state, [ChunkState.LEASED]),
            tables.chunk.c.attempt == self.attempt,
            tables.chunk.c.token == self.token,
        )


def crash(
    conn: Connection,
    lease: Lease,
    suspects: Sequence[int],
    detail: str,
    *,
    now: float | None = None,
) -> Verdict:
    """leased → pending, split or dead: the process that computed the chunk has died.

    `suspects` are the positions of the rows in flight, `detail` says how it died. Raises
    `LeaseLost`. Where the job has ended meanwhile, nothing is counted.
    """
    state = lock_job(conn, lease.job_id)
    row = conn.execute(select(tables.chunk).where(this(lease.job_id, lease.idx))).one_or_none()
    if row is None:
        raise LeaseLost
    ended = _attempt(row, lease.attempt, lease.token, lease.worker)
    verdict = _judge(state, ended, suspects)
    if not _carry_out(conn, verdict, ended, ChunkVerb.CRASH, suspects, detail, now):
        raise LeaseLost
    return verdict or Retry()


def reap(conn: Connection, limit: int, *, now: float | None = None) -> list[tuple[JobId, int]]:
    """Take at most `limit` leases that have run out away from their holders, as crashes.

    The rows in flight by the last heartbeat are the suspects. Chunks of a job that has ended are
    put back without a count. Returns what was taken.
    """
    # The holder may renew between our look and our blow, so the blow asks again.
    expired = tables.chunk.c.lease_until < db_now(now)
    return _end_all(conn, ChunkVerb.REAP, "the worker fell silent", 0, expired, limit, now)


def release_owned(
    conn: Connection, worker: WorkerId, *, now: float | None = None
) -> list[tuple[JobId, int]]:
    """leased → pending for all chunks of a worker that is known to be dead: no crash of a row.

    Only a chunk that has lost several attempts already has this one counted. Returns what was
    released.
    """
    owned = tables.chunk.c.owner == worker
    excuses = LOSSES_BEFORE_CRASH
    return _end_all(conn, ChunkVerb.DISOWN, "its worker died", excuses, owned, None, now)


def release_job(
    conn: Connection, job_id: JobId, *, now: float | None = None
) -> list[tuple[JobId, int]]:
    """leased → pending for all chunks of a job whose workers are all known to be dead.

    Never counted as a crash: somebody ended them all at once. Returns what was released.
    """
    of_job = tables.chunk.c.job_id == job_id
    return _end_all(conn, ChunkVerb.DISOWN, "its workers died", math.inf, of_job, None, now)


def _end_all(
    conn: Connection,
    verb: ChunkVerb,
    detail: str,
    excuses: float,
    which: ColumnElement[bool],
    limit: int | None,
    now: float | None,
) -> list[tuple[JobId, int]]:
    """End the attempts at all leased chunks `which`; each is asked for again as it is taken.

    A chunk that has lost fewer than `excuses` attempts to its surroundings only loses one more.
    """
    found = conn.execute(
        select(tables.chunk)
        .where(among(tables.chunk.c.state, [ChunkState.LEASED]), which)
        .order_by(tables.chunk.c.job_id, tables.chunk.c.idx)
        .limit(limit)
    ).all()
    taken = []
    for job_id, rows in groupby(found, key=lambda row: JobId(row.job_id)):
        state = lock_job(conn, job_id)
        for row in rows:
            ended = _attempt(row, row.attempt, row.token, row.owner)
            suspects = row.in_flight or ()
            excused = row.infra_count < excuses
            verdict = None if excused else _judge(state, ended, suspects)
            if _carry_out(conn, verdict, ended, verb, suspects, detail, now, which):
                taken.append((job_id, ended.idx))
    return taken


def _attempt(row: Row[Any], attempt: int, token: str, worker: str) -> _Attempt:
    return _Attempt(
        job_id=JobId(row.job_id),
        idx=row.idx,
        kind=ChunkKind(row.kind),
        span=Span(row.start_pos, row.end_pos),
        weight=row.weight,
        crash_count=row.crash_count,
        attempt=attempt,
        token=token,
        worker=WorkerId(worker),
    )


def _judge(state: JobState, ended: _Attempt, suspects: Sequence[int]) -> Verdict | None:
    """The verdict, or None where the job has ended and no crash is counted any more."""
    if state not in HONOURED[ended.kind]:
        return None
    if ended.kind is ChunkKind.FINALIZE:
        return Retry()
    return after_crash(ended.span, ended.crash_count + 1, suspects)


def _carry_out(
    conn: Connection,
    verdict: Verdict | None,
    ended: _Attempt,
    verb: ChunkVerb,
    suspects: Sequence[int],
    detail: str,
    now: float | None,
    *guards: ColumnElement[bool],
) -> bool:
    target, values = _consequence(conn, verdict, ended, suspects, detail, now)
    changed = conn.execute(
        update(tables.chunk)
        .where(ended.current(), *guards)
        .values(state=target, **LET_GO, **values)
    ).rowcount
    if not changed:
        return False
    noted: dict[str, Json] = {"detail": detail}
    if isinstance(verdict, Split):
        noted["children"] = [*_add_children(conn, verdict, ended, suspects)]
    events.record(
        conn,
        ended.job_id,
        verb,
        ChunkState.LEASED,
        target,
        idxs=[(ended.idx, ended.attempt)],
        worker=ended.worker,
        detail=noted,
        now=now,
    )
    return True


def _consequence(
    conn: Connection,
    verdict: Verdict | None,
    ended: _Attempt,
    suspects: Sequence[int],
    detail: str,
    now: float | None,
) -> tuple[ChunkState, dict[str, Any]]:
    crashes = ended.crash_count + 1
    match verdict:
        case None:
            return ChunkState.PENDING, {"infra_count": tables.chunk.c.infra_count + 1}
        case Retry():
            wait = db_now(now) + backoff(crashes, random.random())
            values: dict[str, Any] = {"crash_count": crashes, "not_before": wait}
            return ChunkState.PENDING, values | ({"suspects": [*suspects]} if suspects else {})
        case Split():
            return ChunkState.SPLIT, {"crash_count": crashes, "finished_at": db_now(now)}
        case Bury():
            return ChunkState.DEAD, {
                "crash_count": crashes,
                "finished_at": db_now(now),
                "rows_ok": 0,
                "rows_err": 1,
                "input_rows": [[_input_at(conn, ended), 1]],
                "error_code": "WORKER_CRASHED",
                "error_message": f"the process died {crashes} times on this row alone: {detail}",
            }
        case never:
            assert_never(never)


def _add_children(
    conn: Connection, verdict: Split, ended: _Attempt, suspects: Sequence[int]
) -> list[int]:
    first = next_idx(conn, ended.job_id)
    start, length = ended.span.start, ended.span.length
    rows = [
        {
            "job_id": ended.job_id,
            "idx": idx,
            "kind": ended.kind,
            "state": ChunkState.PENDING,
            "start_pos": span.start,
            "end_pos": span.end,
            "parent_idx": ended.idx,
            # Rounded at the borders, so that the weights add up to the parent's.
            "weight": ended.weight * (span.end - start) // length
            - ended.weight * (span.start - start) // length,
            "suspects": [each for each in suspects if span.start <= each < span.end] or None,
        }
        for idx, span in enumerate(verdict.spans, first)
    ]
    conn.execute(insert(tables.chunk), rows)
    return [idx for idx, _ in enumerate(rows, first)]


def _input_at(conn: Connection, ended: _Attempt) -> int:
    places = tables.job_input.c
    index = conn.scalar(
        select(places.index).where(
            places.job_id == ended.job_id,
            places.base <= ended.span.start,
            places.base + places.extent > ended.span.start,
        )
    )
    assert isinstance(index, int), "chunks tile the inputs"
    return index
