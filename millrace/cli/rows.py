"""Result rows and error records of one job as JSON lines, also while the job still runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from itertools import takewhile

import pyarrow as pa

from millrace import datasets, storage
from millrace.datasets.jsonl_writer import json_lines
from millrace.db.session import Database
from millrace.error_records import error_records as final_records
from millrace.lifecycle import queries
from millrace.lifecycle.queries import JobView, SettledChunk
from millrace.manifest import MANIFEST, Manifest
from millrace.storage.base import InputStream, blocks
from millrace.types import JobId, JobState

_FAR = 1 << 62


def result_lines(database: Database, job_id: str) -> Iterator[bytes]:
    """Every result row that is committed so far, in input order."""
    job = _job(database, job_id)
    for chunk in _settled(database, job):
        if chunk.part is not None:
            yield from _lines(job, chunk.part.path)


def error_records(database: Database, job_id: str) -> Iterator[bytes]:
    """The error records, as far as row numbers are known: up to the first chunk still at work.

    As bytes to be written one behind the other; a piece may hold many records, or part of one.
    """
    job = _job(database, job_id)
    store = storage.for_uri(job.spec.output)
    if job.state in (JobState.SUCCEEDED, JobState.PARTIAL):
        manifest = Manifest.from_bytes(store.read(f"{job.spec.output}/{MANIFEST}"))
        for entry in manifest.errors:
            with closing(_opened(job, entry.path)) as source:
                yield from blocks(source)
        return
    with database.read() as connection:
        inputs = queries.inputs(connection, job.id)
    for record in final_records(store, job.spec, inputs, _unbroken(_settled(database, job))):
        yield json.dumps(record, ensure_ascii=False).encode() + b"\n"


def _job(database: Database, job_id: str) -> JobView:
    with database.read() as connection:
        return queries.known_job(connection, JobId(job_id))


def _settled(database: Database, job: JobView) -> tuple[SettledChunk, ...]:
    with database.read() as connection:
        return tuple(queries.settled_chunks(connection, job.id))


def _unbroken(settled: tuple[SettledChunk, ...]) -> tuple[SettledChunk, ...]:
    """The chunks from the first one up to the first gap."""
    starts = [0, *(chunk.span.end for chunk in settled)]
    pairs = zip(settled, starts, strict=False)
    return tuple(chunk for chunk, start in takewhile(lambda p: p[0].span.start == p[1], pairs))


def _lines(job: JobView, path: str) -> Iterator[bytes]:
    form = job.spec.output_format
    with closing(_opened(job, path)) as source:
        if form == "jsonl":
            yield from blocks(source)
            return
        reader = datasets.for_name(form, multiline=True)
        schema: pa.Schema = reader.inspect(source, path).schema
        for rows in reader.read(source, 0, _FAR, schema):
            yield json_lines(rows.batch)


def _opened(job: JobView, path: str) -> InputStream:
    store = storage.for_uri(job.spec.output)
    return store.open(store.info(f"{job.spec.output}/{path}"))
