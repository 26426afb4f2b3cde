"""Turns a submitted job into a plan: pinned inputs, a schema, and chunks as rows in the database.

Planning reads sizes, footers and a small sample, never the data, so a terabyte takes seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from millrace import catalog, datasets, storage
from millrace.datasets.base import Layout
from millrace.db.session import Database
from millrace.errors import Conflict, InvalidInput, MillraceError, NotFound, Unavailable, explained
from millrace.lifecycle import jobs, queries
from millrace.lifecycle.queries import JobView
from millrace.spec import JobSpec
from millrace.storage.base import Storage, StoredObject
from millrace.storage.uri import basename
from millrace.telemetry import fields
from millrace.types import Input, JobState, PlannedChunk
from scheduler.columns import common_schema
from scheduler.splitter import cut

log = logging.getLogger(__name__)

CHUNK_BYTES = 16 << 20
MAX_OBJECTS = 100_000


class Planner:
    def __init__(self, database: Database, *, slots: int, interval: float) -> None:
        self._database = database
        self._slots = slots
        self._interval = interval

    def tick(self, now: float) -> float:
        """Plan every job that waits for it; a job that cannot be planned fails with the reason."""
        with self._database.read() as connection:
            waiting = queries.jobs_in(connection, {JobState.VALIDATING})
        for job in waiting:
            try:
                self.plan(job)
            except Unavailable:
                raise
            except MillraceError as error:
                self._fail(job, error)
        return self._interval

    def plan(self, job: JobView) -> None:
        """Pin the inputs of one job, cut them and queue it; `InvalidInput` says what is wrong."""
        plan = plan_of(job.spec, slots=self._slots)
        with self._database.write() as connection:
            jobs.pin(
                connection, job.id, plan.inputs, datasets.encode_schema(plan.schema), plan.notes
            )
            jobs.add_chunks(connection, job.id, plan.chunks)
            jobs.queue(connection, job.id)

    def _fail(self, job: JobView, error: MillraceError) -> None:
        """Fail the job, unless another scheduler has planned it, or it was cancelled, meanwhile."""
        if isinstance(error, Conflict) and error.code == "STATE_FORBIDS":
            return
        log.info("plan failed %s", fields(job=job.id, code=error.code))
        reason = explained(error.message, error.hint)
        with self._database.write() as connection:
            jobs.fail(connection, job.id, error.code, reason)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a job will read and in which blocks; `layouts` goes with `inputs`."""

    inputs: tuple[Input, ...]
    layouts: tuple[Layout, ...]
    schema: pa.Schema
    chunks: tuple[PlannedChunk, ...]
    notes: tuple[str, ...]


def plan_of(spec: JobSpec, *, slots: int) -> Plan:
    """Plan without touching the database; `InvalidInput` says what is wrong with the input."""
    surveyed = survey(spec)
    schema = common_schema(surveyed)
    check_columns(spec, schema)
    chunks = cut(
        surveyed,
        rows=spec.chunk_rows or catalog.engine(spec.model.engine).chunk_rows,
        bytes=spec.chunk_bytes or CHUNK_BYTES,
        slots=slots,
        fixed=spec.chunk_rows is not None or spec.chunk_bytes is not None,
    )
    return Plan(
        inputs=tuple(each for each, _ in surveyed),
        layouts=tuple(layout for _, layout in surveyed),
        schema=schema,
        chunks=tuple(chunks),
        notes=tuple(sorted({layout.note for _, layout in surveyed if layout.note})),
    )


def survey(spec: JobSpec) -> list[tuple[Input, Layout]]:
    """Every input file with its layout, one behind the other in the job's position space."""
    store = storage.for_uri(spec.input)
    surveyed: list[tuple[Input, Layout]] = []
    base = 0
    for index, found in enumerate(_objects(store, spec)):
        name, layout = _inspect(store, found, spec)
        each = Input(
            index=index,
            uri=found.uri,
            format=name,
            size=found.size,
            version=found.version,
            base=base,
            extent=layout.extent,
            divisible=layout.divisible,
        )
        surveyed.append((each, layout))
        base += layout.extent
    return surveyed


def check_columns(spec: JobSpec, schema: pa.Schema) -> None:
    """The columns that the job names are there; `InvalidInput` names those that are."""
    named = [("--key", spec.key)] if spec.key else []
    named += [("--input-columns", name) for name in spec.input_columns or ()]
    for option, name in named:
        if name not in schema.names:
            raise InvalidInput(
                "SCHEMA_MISMATCH",
                f"{option}: {spec.input} has no column {name!r}",
                f"its columns are {', '.join(schema.names)}",
            )


def _objects(store: Storage, spec: JobSpec) -> Iterator[StoredObject]:
    try:
        yield store.info(spec.input)
        return
    except NotFound as error:
        raise InvalidInput("INPUT_NOT_FOUND", error.message, "check --input") from None
    except InvalidInput as error:
        if error.code != "IS_A_FOLDER":
            raise
    count = 0
    filled = (found for found in store.list(spec.input) if found.size)
    for count, found in enumerate(filled, start=1):
        if count > MAX_OBJECTS:
            raise InvalidInput("TOO_MANY_OBJECTS", f"{spec.input} has over {MAX_OBJECTS:,} files")
        yield found
    if not count:
        raise InvalidInput(
            "EMPTY_PREFIX",
            f"{spec.input} holds no files",
            "hidden files and names with _ are left out",
        )


def _inspect(store: Storage, found: StoredObject, spec: JobSpec) -> tuple[str, Layout]:
    source = store.open(found)
    try:
        name = datasets.detect(found.uri, source, spec.input_format)
        form = datasets.for_name(name, multiline=spec.csv_multiline)
        return name, form.inspect(source, basename(found.uri))
    finally:
        source.close()
