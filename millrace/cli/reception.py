"""What becomes of a submission here: a new job, one to go on with, or one that is done."""

from __future__ import annotations

from millrace import storage
from millrace.db.session import Database
from millrace.errors import Conflict, InvalidInput, NotFound, Unavailable
from millrace.lifecycle import jobs, queries
from millrace.lifecycle.queries import JobView
from millrace.manifest import MANIFEST
from millrace.spec import JobSpec
from millrace.types import JobState

_FINISHED = frozenset({JobState.SUCCEEDED, JobState.PARTIAL})
_GIVEN_UP = frozenset({JobState.FAILED, JobState.EXPIRED, JobState.CANCELLED})


def receive(database: Database, spec: JobSpec) -> tuple[JobView, str]:
    """The job that answers `spec`, and one line of news about it.

    Raises `Conflict` where the output belongs to something else, `InvalidInput` where the input or
    output cannot be what it is.
    """
    with database.read() as connection:
        known = queries.newest_for_output(connection, spec.output)
    if known is not None and known.spec_hash == spec.spec_hash():
        return _known(database, known)
    _check_places(spec)
    if known is not None and not _may_be_replaced(database, known):
        raise Conflict(
            "OUTPUT_EXISTS",
            f"{spec.output} belongs to job {known.id} ({known.state}), another request",
            "choose another --output, or delete that folder and its job's state",
        )
    if known is None:
        _check_empty(spec)
    with database.write() as connection:
        job_id = jobs.submit(connection, spec)
    with database.read() as connection:
        job = queries.job(connection, job_id)
    assert job is not None, "it was submitted just now"
    return job, f"job {job_id}: {spec.input} → {spec.output}"


def _known(database: Database, job: JobView) -> tuple[JobView, str]:
    if job.state in _FINISHED:
        _check_still_there(job)
        return job, f"job {job.id} has finished already; nothing to do"
    if job.state in _GIVEN_UP:
        with database.write() as connection:
            jobs.retry(connection, job.id)
        with database.read() as connection:
            again = queries.job(connection, job.id)
        assert again is not None, "it was there just now"
        return again, f"job {job.id} had {job.state}; trying again what is left of it"
    return job, f"going on with job {job.id}"


def _check_still_there(job: JobView) -> None:
    try:
        storage.for_uri(job.spec.output).info(f"{job.spec.output}/{MANIFEST}")
    except NotFound:
        raise Conflict(
            "OUTPUT_GONE",
            f"job {job.id} wrote {job.spec.output}, but its manifest is not there any more",
            "choose another --output or another --state",
        ) from None


def _may_be_replaced(database: Database, job: JobView) -> bool:
    """A job that gave up before any chunk was committed leaves nothing behind."""
    with database.read() as connection:
        progress = queries.progress(connection, job.id)
    return job.state in _GIVEN_UP and not progress.rows_ok and not progress.rows_err


def _check_places(spec: JobSpec) -> None:
    inside = f"{spec.output}/".startswith(f"{spec.input}/")
    around = f"{spec.input}/".startswith(f"{spec.output}/")
    if inside or around:
        where = "inside the input" if inside else "around the input"
        raise InvalidInput(
            "OUTPUT_OVERLAPS_INPUT",
            f"the output {spec.output} lies {where} {spec.input}",
            "choose an --output beside the input",
        )
    try:
        with storage.for_uri(spec.output).spool(spec.output):
            pass
    except (InvalidInput, Unavailable) as error:
        raise InvalidInput(
            "OUTPUT_NOT_WRITABLE", f"cannot write to {spec.output}: {error.message}", error.hint
        ) from None


def _check_empty(spec: JobSpec) -> None:
    found = next(iter(storage.for_uri(spec.output).list(spec.output)), None)
    store = storage.for_uri(spec.output)
    try:
        store.info(f"{spec.output}/{MANIFEST}")
    except NotFound:
        if found is None:
            return
    raise Conflict(
        "OUTPUT_EXISTS",
        f"{spec.output} is not empty and belongs to no job of this state folder",
        "choose another --output, or the --state that the job was run with",
    )
