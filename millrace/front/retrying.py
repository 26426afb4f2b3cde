"""The error rows of a finished job once more: a new job, whose results are complete in themselves.

What is published stays as it is. The new job keeps every row that the other one got right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count

from sqlalchemy import Connection

from millrace import storage
from millrace.access import audit
from millrace.access.caller import Caller, operator
from millrace.db.session import Database
from millrace.errors import Conflict, InvalidInput, NotFound
from millrace.front.reception import Received, check_empty, check_places, is_empty
from millrace.lifecycle import jobs, queries, successor
from millrace.lifecycle.queries import JobView
from millrace.published import check_sizes, manifest_of
from millrace.registry import models
from millrace.spec import JobSpec, ModelRef
from millrace.storage.base import StoredObject
from millrace.types import Input, JobId, JobState

_NUMBERED = re.compile(r"-retry-\d+$")
_THREADS = 16
_OPERATOR = operator("default")


Permit = Callable[[str], object]
"""Raises for a folder that may not be written to."""


def retry_rows(
    database: Database,
    job_id: JobId,
    output: str | None,
    *,
    caller: Caller = _OPERATOR,
    permit: Permit = str,
) -> Received:
    """The job that retries the error rows of this one.

    Its results come into `output`, or into a new folder beside those of the job; `permit` is asked
    before that folder is touched. Raises `Conflict` where there are no error rows, or where
    results, input or model are not what they were.
    """
    with database.read() as connection:
        job = queries.known_job(connection, job_id)
        inputs = queries.inputs(connection, job_id)
        under_way = successor.alive(connection, job_id)
    if job.state is not JobState.PARTIAL:
        raise successor.no_failed_rows(job_id, job.state)
    if output is not None:
        permit(output)
    folder = None if output is None else storage.normalise(output)
    if under_way is None:
        _check_parent(job, inputs)
        if folder is not None:
            _check_folder(job, folder)
        else:
            folder = _free_folder(database, job, permit)
    elif folder is None:
        folder = under_way[1]

    def submit(connection: Connection) -> JobId:
        child = jobs.retry_rows(connection, job_id, folder)
        audit.record(connection, caller, "job.retry", f"job:{job_id}", {"by": child})
        return child

    child = database.transact(submit)
    with database.read() as connection:
        view = queries.known_job(connection, child)
    is_new = under_way is None
    rows = "the error rows of" if is_new else "retrying already the error rows of"
    return Received(view, f"job {child}: {rows} {job_id} → {folder}", is_new)


def _check_parent(job: JobView, inputs: Sequence[Input]) -> None:
    """`Conflict` where anything that the job was made of, or has made, is not as it was."""
    if job.superseded_at is not None:
        raise successor.results_gone(job.id)
    check_sizes(job, manifest_of(job))
    _check_model(job.spec.model)
    with ThreadPoolExecutor(_THREADS) as pool:
        for _ in pool.map(_check_input, inputs):
            pass


def _check_model(pinned: ModelRef) -> None:
    if pinned.sha256 is None:
        return
    try:
        found = models.resolve(f"{pinned.engine}:{pinned.location}")
    except NotFound as error:
        raise _changed("MODEL_CHANGED", f"the model is gone: {error.message}") from None
    if found.sha256 != pinned.sha256:
        raise _changed("MODEL_CHANGED", f"the model {pinned.location} has changed since the job")


def _check_input(pinned: Input) -> None:
    try:
        stored = StoredObject(pinned.uri, pinned.size, pinned.version)
        storage.for_uri(pinned.uri).open(stored).close()
    except (NotFound, InvalidInput) as error:
        raise _changed("INPUT_CHANGED", error.message) from None


def _changed(code: str, fault: str) -> Conflict:
    return Conflict(
        code,
        f"{fault}; rows that are computed now would not go with those that are kept",
        "put it back as it was, or submit a new job",
    )


def _free_folder(database: Database, job: JobView, permit: Permit) -> str:
    """The first folder of the job's name with ``-retry-N`` that is empty and nobody's."""
    stem = _NUMBERED.sub("", job.spec.output)
    for number in count(1):
        folder = f"{stem}-retry-{number}"
        permit(folder)
        with database.read() as connection:
            known = queries.newest_for_output(connection, folder)
        if known is None and is_empty(folder):
            check_places(job.spec.model_copy(update={"output": folder}))
            return folder
    raise AssertionError("numbers have no end")


def _check_folder(job: JobView, folder: str) -> None:
    own = job.spec.output
    if f"{folder}/".startswith(f"{own}/") or f"{own}/".startswith(f"{folder}/"):
        raise InvalidInput(
            "OUTPUT_OVERLAPS",
            f"the output {folder} and that of the job itself, {own}, lie inside one another",
            "choose an --output beside it, or leave it out",
        )
    spec: JobSpec = job.spec.model_copy(update={"output": folder})
    check_places(spec)
    check_empty(spec)
