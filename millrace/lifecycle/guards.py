"""The conditions under which a write is allowed, and the locks that keep them true."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    and_,
    bindparam,
    case,
    exists,
    literal,
    null,
    or_,
    select,
    update,
)

from millrace.db import tables
from millrace.errors import Conflict, NotFound
from millrace.lifecycle import events, notices
from millrace.lifecycle.transitions import JOB_MOVES, JobVerb
from millrace.types import ChunkKind, ChunkState, JobId, JobState, Json, Lease

LET_GO: Mapping[str, Any] = MappingProxyType(
    {
        "token": None,
        "owner": None,
        "lease_until": None,
        "in_flight": None,
        "progress_rows": 0,
        "leased_at": None,
        "rung_at": None,
        "rung_to": None,
        "offered_at": None,
        "twin_token": None,
        "twin_owner": None,
        "twin_until": None,
        "twin_at": None,
    }
)
"""What no chunk keeps of a lease that ended without results, nor of that of a twin."""


def among(
    column: ColumnElement[Any], values: Iterable[JobState | ChunkState | ChunkKind]
) -> ColumnElement[bool]:
    """``column IN (…)`` with the values written out: a partial index is not used for parameters."""
    chosen = sorted(value.value for value in values)
    if len(chosen) == 1:
        return column == bindparam(None, chosen[0], literal_execute=True)
    return column.in_(bindparam(None, chosen, expanding=True, literal_execute=True))


def this(job_id: JobId, idx: int) -> ColumnElement[bool]:
    """The chunk by its name."""
    return and_(tables.chunk.c.job_id == job_id, tables.chunk.c.idx == idx)


def stands(state: ChunkState) -> ColumnElement[bool]:
    """A chunk that is given by its name is in this state.

    Compared as an expression, because no index but that of the names should be used: where a big
    plan is younger than its statistics, Postgres takes the index of all pending chunks for a small
    one and reads it from end to end.
    """
    return tables.chunk.c.state + "" == state.value


def held(lease: Lease) -> ColumnElement[bool]:
    """The chunk, only while this acquisition of it is current, be it as its first or as a twin."""
    return held_together([lease])


def held_together(leases: Sequence[Lease]) -> ColumnElement[bool]:
    """Those chunks of one batch (one job, one token) whose acquisition is still a current one."""
    chunk, first = tables.chunk.c, leases[0]
    assert {(each.job_id, each.token) for each in leases} == {(first.job_id, first.token)}
    by_attempt: dict[int, list[int]] = {}
    for each in leases:
        by_attempt.setdefault(each.attempt, []).append(each.idx)
    return and_(
        chunk.job_id == first.job_id,
        or_(
            *(
                and_(chunk.idx.in_(idxs), chunk.attempt == attempt)
                for attempt, idxs in by_attempt.items()
            )
        ),
        stands(ChunkState.LEASED),
        or_(chunk.token == first.token, chunk.twin_token == first.token),
    )


def batches(leases: Iterable[Lease]) -> list[list[Lease]]:
    """The leases by job and token, in a fixed order so that two who lock them do not cross."""
    ordered = sorted(leases, key=lambda each: (each.job_id, each.token, each.idx))
    return [list(group) for _, group in groupby(ordered, lambda each: (each.job_id, each.token))]


def without(token: str) -> dict[str, Any]:
    """What becomes of a leased chunk when the holder of `token` leaves it.

    Where it has a twin, the other one of the two goes on alone; else the chunk is pending.
    """
    chunk = tables.chunk.c
    leads = chunk.token == token

    def kept(own: ColumnElement[Any], twins: ColumnElement[Any]) -> ColumnElement[Any]:
        return case((leads, twins), else_=own)

    alone = literal(ChunkState.PENDING.value, String)
    return {
        **LET_GO,
        "state": case((chunk.twin_token.is_(None), alone), else_=ChunkState.LEASED.value),
        "token": kept(chunk.token, chunk.twin_token),
        "owner": kept(chunk.owner, chunk.twin_owner),
        "lease_until": kept(chunk.lease_until, chunk.twin_until),
        "leased_at": kept(chunk.leased_at, chunk.twin_at),
        "in_flight": kept(chunk.in_flight, null()),
        "progress_rows": kept(chunk.progress_rows, literal(0)),
    }


def has_open_chunk() -> ColumnElement[bool]:
    """Whether some chunk of a job is still to be computed."""
    chunk = tables.chunk.c
    leased = exists().where(
        chunk.job_id == tables.job.c.id,
        among(chunk.kind, [ChunkKind.INFER]),
        among(chunk.state, [ChunkState.LEASED]),
    )
    # One look for each state, because each has an index of its own.
    return or_(has_pending_chunk(among(chunk.kind, [ChunkKind.INFER])), leased)


def has_pending_chunk(*which: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether some pending chunk of a job is one of those."""
    chunk = tables.chunk.c
    first = (
        select(chunk.idx)
        .where(chunk.job_id == tables.job.c.id, among(chunk.state, [ChunkState.PENDING]), *which)
        # With EXISTS, Postgres would rather read a million rows in the hope to meet one soon.
        .order_by(chunk.start_pos)
        .limit(1)
    )
    return first.correlate(tables.job).scalar_subquery().is_not(None)


def share_job(conn: Connection, job_id: JobId) -> JobState | None:
    """The job's state, which cannot change before this transaction ends; None for no such job.

    Without this lock a cancellation and a commit that run at once on Postgres both succeed.
    """
    state = conn.scalar(
        select(tables.job.c.state).where(tables.job.c.id == job_id).with_for_update(read=True)
    )
    return None if state is None else JobState(state)


def lock_job(conn: Connection, job_id: JobId) -> JobState:
    """The job's state, locked for a change by this transaction; `NotFound` for no such job."""
    # NO KEY: foreign keys of rows that others add at this moment do not wait for us, nor we for
    # them, or two workers that record an event and then fail the job would deadlock.
    state = conn.scalar(
        select(tables.job.c.state).where(tables.job.c.id == job_id).with_for_update(key_share=True)
    )
    if state is None:
        raise no_such_job(job_id)
    return JobState(state)


def no_such_job(job_id: JobId) -> NotFound:
    """The answer to an id that no job has."""
    return NotFound(
        "JOB_NOT_FOUND",
        f"there is no job {job_id!r}",
        "millrace jobs list shows those there are",
    )


def move_job(
    conn: Connection,
    job_id: JobId,
    verb: JobVerb,
    target: JobState,
    *guards: ColumnElement[bool],
    now: float | None = None,
    detail: Mapping[str, Json] | None = None,
    **values: Any,
) -> bool:
    """Move the job to `target`, record it and have its webhooks told.

    False where its state or a guard forbids that.
    """
    before = lock_job(conn, job_id)
    moved = conn.execute(
        update(tables.job)
        .where(
            tables.job.c.id == job_id, among(tables.job.c.state, JOB_MOVES[verb].sources), *guards
        )
        .values(state=target, **values)
    ).rowcount
    if moved:
        events.record(conn, job_id, verb, before, target, detail=detail, now=now)
        notices.put_up(conn, job_id, verb, target, now=now)
    if moved and before is JobState.RUNNING:
        _hush(conn, job_id)
    return bool(moved)


def _hush(conn: Connection, job_id: JobId) -> None:
    """Call nobody any more to a job that stands still: who looks for work should not meet it."""
    chunk = tables.chunk.c
    conn.execute(
        update(tables.chunk)
        .where(
            chunk.job_id == job_id,
            among(chunk.state, [ChunkState.PENDING]),
            chunk.rung_at.is_not(None),
        )
        .values(rung_at=None, rung_to=None)
    )


def forbidden(job_id: JobId, verb: JobVerb, state: JobState) -> Conflict:
    """The refusal of a move that the table does not have."""
    sources = ", ".join(sorted(JOB_MOVES[verb].sources))
    return Conflict(
        "STATE_FORBIDS",
        f"job {job_id} is {state}: {verb.value.replace('_', ' ')} needs a job that is {sources}",
        f"see: millrace jobs show {job_id}",
    )
