"""The conditions under which a write is allowed, and the locks that keep them true."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, select, update

from millrace.db import tables
from millrace.errors import Conflict, NotFound
from millrace.lifecycle import events
from millrace.lifecycle.transitions import JOB_MOVES, JobVerb
from millrace.types import ChunkKind, ChunkState, JobId, JobState, Json, Lease

LET_GO: Mapping[str, Any] = MappingProxyType(
    {
        "token": None,
        "owner": None,
        "lease_until": None,
        "in_flight": None,
        "progress_rows": 0,
        "rung_at": None,
    }
)
"""What no chunk keeps of a lease that ended without results."""


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


def held(lease: Lease) -> ColumnElement[bool]:
    """The chunk, only if this very acquisition of it is still the current one."""
    return and_(
        this(lease.job_id, lease.idx),
        among(tables.chunk.c.state, [ChunkState.LEASED]),
        tables.chunk.c.attempt == lease.attempt,
        tables.chunk.c.token == lease.token,
    )


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
    """Move the job to `target` and record it; false where its state or a guard forbids that."""
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
    return bool(moved)


def forbidden(job_id: JobId, verb: JobVerb, state: JobState) -> Conflict:
    """The refusal of a move that the table does not have."""
    sources = ", ".join(sorted(JOB_MOVES[verb].sources))
    return Conflict(
        "STATE_FORBIDS",
        f"job {job_id} is {state}: {verb.value.replace('_', ' ')} needs a job that is {sources}",
        f"see: millrace jobs show {job_id}",
    )
