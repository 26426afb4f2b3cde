"""The job that computes anew the rows that failed in a published one, into a folder of its own.

What is published stays as it is; its error rows get another chance in a job whose `parent_id` names
it, and which keeps the rows that it got right (`millrace.types.Kept`).
"""

from __future__ import annotations

from sqlalchemy import Connection, select

from millrace.db import tables
from millrace.errors import Conflict
from millrace.lifecycle.guards import among, lock_job
from millrace.lifecycle.submission import submit
from millrace.lifecycle.transitions import JOB_TERMINAL
from millrace.spec import JobSpec
from millrace.types import JobId, JobState


def retry_rows(
    conn: Connection, parent_id: JobId, output: str, *, now: float | None = None
) -> JobId:
    """Submit the job that retries the error rows of a partial one, with its results in `output`.

    While such a job is alive, asking again is that job. Raises `Conflict` where the parent has no
    error rows, or its results were given up, or its rows are being retried into another folder, or
    where `output` belongs to another job.
    """
    state = lock_job(conn, parent_id)
    if state is not JobState.PARTIAL:
        raise no_failed_rows(parent_id, state)
    job = tables.job.c
    parent = conn.execute(
        select(job.spec, job.tenant, job.superseded_at).where(job.id == parent_id)
    ).one()
    if parent.superseded_at is not None:
        raise results_gone(parent_id)
    under_way = alive(conn, parent_id)
    if under_way is None:
        spec = JobSpec.model_validate_json(parent.spec).model_copy(update={"output": output})
        return submit(conn, spec, tenant=parent.tenant, parent_id=parent_id, now=now)
    job_id, folder = under_way
    if folder != output:
        raise being_retried(parent_id, job_id, folder)
    return job_id


def alive(conn: Connection, parent_id: JobId) -> tuple[JobId, str] | None:
    """The job that is retrying rows of this one at this moment, and its output, if there is any."""
    job = tables.job.c
    found = conn.execute(
        select(job.id, job.output_uri)
        .where(job.parent_id == parent_id, among(job.state, {*JobState} - JOB_TERMINAL))
        .order_by(job.id)
    ).first()
    return None if found is None else (JobId(found.id), found.output_uri)


def no_failed_rows(job_id: JobId, state: JobState) -> Conflict:
    """The refusal for a job that is not `partial`."""
    return Conflict(
        "STATE_FORBIDS",
        f"job {job_id} is {state}: only a job that is partial has error rows to compute anew",
        f"see: millrace jobs show {job_id}",
    )


def results_gone(job_id: JobId) -> Conflict:
    """The refusal where the rows that were right cannot be taken over any more."""
    return Conflict(
        "RESULTS_GONE",
        f"the results of job {job_id} were deleted, so there is nothing to add its error rows to",
        "submit the job anew",
    )


def being_retried(parent_id: JobId, job_id: JobId, output: str) -> Conflict:
    """The refusal of a second retry at the same time, into another folder."""
    return Conflict(
        "ALREADY_RETRIED",
        f"the error rows of job {parent_id} are being retried by job {job_id}, into {output}",
        f"wait for it, or cancel it: millrace jobs cancel {job_id}",
    )
