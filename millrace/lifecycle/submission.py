"""Verbs by which a job comes in, and by which it owns its output folder."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from millrace.db import tables
from millrace.db.now import db_now
from millrace.errors import Conflict
from millrace.ids import new_id
from millrace.lifecycle import events
from millrace.lifecycle.guards import among, lock_job
from millrace.lifecycle.requests import mismatch
from millrace.lifecycle.transitions import JobVerb
from millrace.spec import JobSpec
from millrace.types import JobId, JobState


def submit(
    conn: Connection,
    spec: JobSpec,
    *,
    tenant: str = "default",
    idempotency_key: str | None = None,
    parent_id: JobId | None = None,
    now: float | None = None,
) -> JobId:
    """Take in a job (→ validating) and return its id, which sorts by time.

    The same `idempotency_key` again is the same job. `parent_id` is the job that this one goes back
    to, such as one whose error rows it repeats. Raises `Conflict` where the key was used for
    another spec, or where another live or successful job owns the output.
    """
    job_id = JobId(new_id(now))
    deadline = spec.deadline_seconds
    row = {
        "id": job_id,
        "tenant": tenant,
        "state": JobState.VALIDATING,
        "spec": spec.model_dump_json(),
        "spec_hash": spec.spec_hash(),
        "output_uri": spec.output,
        "model_sha256": spec.model.sha256,
        "idempotency_key": idempotency_key,
        "priority": spec.priority,
        "pool": spec.pool,
        "model": spec.model.reference,
        "parent_id": parent_id,
        "webhook": spec.webhook,
        "created_at": db_now(now),
        "expires_at": None if deadline is None else db_now(now) + deadline,
    }
    try:
        with conn.begin_nested():
            conn.execute(insert(tables.job).values(row))
    except IntegrityError:
        return _same_submission(conn, spec, tenant, idempotency_key)
    events.record(conn, job_id, JobVerb.SUBMIT, None, JobState.VALIDATING, now=now)
    return job_id


def supersede(conn: Connection, job_id: JobId, *, now: float | None = None) -> None:
    """Let go of the output of a job that has succeeded: for results that were deleted on purpose.

    The job keeps its state. Raises `Conflict` for a job that is not successful.
    """
    state = lock_job(conn, job_id)
    released = conn.execute(
        update(tables.job)
        .where(
            tables.job.c.id == job_id,
            among(tables.job.c.state, [JobState.SUCCEEDED, JobState.PARTIAL]),
        )
        .values(superseded_at=db_now(now))
    ).rowcount
    if not released:
        raise Conflict(
            "STATE_FORBIDS",
            f"job {job_id} is {state}, and only a finished one lets go of its output",
            f"cancel it first: millrace jobs cancel {job_id}",
        )


def output_owned(conn: Connection, output: str, tenant: str) -> Conflict:
    """The refusal that names the job to which an output folder belongs, to its own tenant only."""
    owner = conn.execute(
        select(tables.job.c.id, tables.job.c.state, tables.job.c.tenant).where(
            tables.job.c.output_uri == output,
            among(tables.job.c.state, [JobState(state) for state in tables.OWNING_JOBS]),
            tables.job.c.superseded_at.is_(None),
        )
    ).one_or_none()
    if owner is None:
        return Conflict("OUTPUT_OWNED", f"{output} was just taken by another job", "try again")
    if owner.tenant != tenant:
        return Conflict("OUTPUT_OWNED", f"{output} belongs to another job", "choose another output")
    return Conflict(
        "OUTPUT_OWNED",
        f"{output} belongs to job {owner.id}, which is {owner.state}",
        f"choose another output, or see: millrace jobs show {owner.id}",
    )


def _same_submission(conn: Connection, spec: JobSpec, tenant: str, key: str | None) -> JobId:
    if key is None:
        raise output_owned(conn, spec.output, tenant)
    earlier = conn.execute(
        select(tables.job.c.id, tables.job.c.spec_hash).where(
            tables.job.c.tenant == tenant, tables.job.c.idempotency_key == key
        )
    ).one_or_none()
    if earlier is None:
        raise output_owned(conn, spec.output, tenant)
    if earlier.spec_hash != spec.spec_hash():
        raise mismatch(key, earlier.id)
    return JobId(earlier.id)
