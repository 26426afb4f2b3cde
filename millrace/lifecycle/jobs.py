"""Verbs on a job as a whole. Those of submission, planning and publication stand next door."""

from __future__ import annotations

from sqlalchemy import Connection, exists, select
from sqlalchemy.exc import IntegrityError

from millrace.db import tables
from millrace.db.now import db_now
from millrace.errors import Conflict
from millrace.lifecycle.guards import among, forbidden, lock_job, move_job
from millrace.lifecycle.planning import add_chunks, pin, queue
from millrace.lifecycle.publication import abandon, freeze, publish, recompute
from millrace.lifecycle.reopening import reopen
from millrace.lifecycle.submission import output_owned, submit, supersede
from millrace.lifecycle.successor import retry_rows
from millrace.lifecycle.transitions import JOB_TERMINAL, JobVerb
from millrace.spec import JobSpec
from millrace.types import ChunkState, JobId, JobState

__all__ = [
    "abandon",
    "add_chunks",
    "cancel",
    "close_cancelled",
    "expire",
    "fail",
    "freeze",
    "pause",
    "pin",
    "publish",
    "queue",
    "recompute",
    "resume",
    "retry",
    "retry_rows",
    "start",
    "stop",
    "submit",
    "supersede",
]


def start(conn: Connection, job_id: JobId, *, now: float | None = None) -> bool:
    """queued → running."""
    return move_job(conn, job_id, JobVerb.START, JobState.RUNNING, now=now, started_at=db_now(now))


def fail(
    conn: Connection, job_id: JobId, code: str, reason: str, *, now: float | None = None
) -> bool:
    """End an unpublished job with a cause; false where it has ended or is being published."""
    return move_job(
        conn,
        job_id,
        JobVerb.FAIL,
        JobState.FAILED,
        now=now,
        detail={"code": code},
        reason_code=code,
        reason=reason,
        finished_at=db_now(now),
    )


def pause(conn: Connection, job_id: JobId, *, now: float | None = None) -> JobState:
    """running → paused: no chunk is begun, those that run may end. A paused job stays as it is."""
    return _switch(conn, job_id, JobVerb.PAUSE, JobState.PAUSED, now)


def resume(conn: Connection, job_id: JobId, *, now: float | None = None) -> JobState:
    """paused → running. A running job stays as it is."""
    return _switch(conn, job_id, JobVerb.RESUME, JobState.RUNNING, now)


def cancel(conn: Connection, job_id: JobId, *, now: float | None = None) -> JobState:
    """Ask an unpublished job to stop (→ cancelling) and return the state it is in now.

    From this moment no chunk is claimed or committed; `close_cancelled` ends it once the workers
    have let go. Does nothing to a job that has ended. Raises `Conflict` while it is published.
    """
    state = lock_job(conn, job_id)
    if state in JOB_TERMINAL or state is JobState.CANCELLING:
        return state
    if not move_job(conn, job_id, JobVerb.CANCEL, JobState.CANCELLING, now=now):
        raise Conflict(
            "ALREADY_PUBLISHING",
            f"job {job_id} is {state}: its results are being published",
            "wait for its end; the results can be deleted afterwards",
        )
    return JobState.CANCELLING


def close_cancelled(conn: Connection, job_id: JobId, *, now: float | None = None) -> bool:
    """cancelling → cancelled, once no worker holds a chunk; `reap` sees to the dead ones."""
    leased = exists().where(
        tables.chunk.c.job_id == tables.job.c.id,
        among(tables.chunk.c.state, [ChunkState.LEASED]),
    )
    return move_job(
        conn,
        job_id,
        JobVerb.CLOSE_CANCELLED,
        JobState.CANCELLED,
        ~leased,
        now=now,
        finished_at=db_now(now),
    )


def stop(conn: Connection, job_id: JobId, *, now: float | None = None) -> JobState:
    """Ask for the end of a job, and end it here and now where no worker holds a chunk of it."""
    asked = cancel(conn, job_id, now=now)
    closed = asked is JobState.CANCELLING and close_cancelled(conn, job_id, now=now)
    return JobState.CANCELLED if closed else asked


def expire(conn: Connection, job_id: JobId, *, now: float | None = None) -> bool:
    """End an unpublished job whose deadline has passed; finished parts stay."""
    return move_job(
        conn,
        job_id,
        JobVerb.EXPIRE,
        JobState.EXPIRED,
        tables.job.c.expires_at <= db_now(now),
        now=now,
        reason_code="DEADLINE",
        reason="the deadline passed before all rows were done",
        finished_at=db_now(now),
    )


def retry(
    conn: Connection,
    job_id: JobId,
    spec: JobSpec | None = None,
    *,
    errors: bool = False,
    now: float | None = None,
) -> JobState:
    """Let a failed, cancelled or expired job go on: what is committed is kept.

    With `errors`, chunks with error rows are not: they run again as if for the first time. Every
    chunk that somebody held gets a new attempt number, so that survivors of the old run can write
    nothing. A job whose plan was not complete is planned anew. The deadline starts again. `spec`
    stands in for the job's own from now on: it asks for the same results, by another deadline,
    priority, pool or webhook. Raises `Conflict` for a job in another state, where another job owns
    the output by now, or where `spec` asks for other results.
    """
    state = lock_job(conn, job_id)
    row = conn.execute(
        select(tables.job.c.plan_complete, tables.job.c.spec, tables.job.c.tenant).where(
            tables.job.c.id == job_id
        )
    ).one()
    target = JobState.RUNNING if row.plan_complete else JobState.VALIDATING
    spec = _amended(job_id, JobSpec.model_validate_json(row.spec), spec)
    deadline = spec.deadline_seconds
    try:
        with conn.begin_nested():
            moved = move_job(
                conn,
                job_id,
                JobVerb.RETRY,
                target,
                now=now,
                spec=spec.model_dump_json(),
                priority=spec.priority,
                pool=spec.pool,
                webhook=spec.webhook,
                run_epoch=tables.job.c.run_epoch + 1,
                model_refusals=0,
                reason_code=None,
                reason=None,
                finished_at=None,
                expires_at=None if deadline is None else db_now(now) + deadline,
            )
    except IntegrityError as error:
        raise output_owned(conn, spec.output, row.tenant) from error
    if not moved:
        raise _not_retried(job_id, state)
    reopen(conn, job_id, errors=errors, now=now)
    return target


def _not_retried(job_id: JobId, state: JobState) -> Conflict:
    refusal = forbidden(job_id, JobVerb.RETRY, state)
    if state is JobState.PARTIAL:
        refusal.hint = f"its error rows can be tried again: millrace jobs retry {job_id} --errors"
    return refusal


def _amended(job_id: JobId, own: JobSpec, asked: JobSpec | None) -> JobSpec:
    """The spec to go on with; `Conflict` where `asked` is for other results than the job's own."""
    if asked is not None and asked.spec_hash() != own.spec_hash():
        raise Conflict(
            "SPEC_CHANGED",
            f"job {job_id} was submitted for other results than are asked for now",
            "retry it with its own model, input and options, or submit a new job",
        )
    return asked or own


def _switch(
    conn: Connection, job_id: JobId, verb: JobVerb, target: JobState, now: float | None
) -> JobState:
    state = lock_job(conn, job_id)
    if state is not target and not move_job(conn, job_id, verb, target, now=now):
        raise forbidden(job_id, verb, state)
    return target
