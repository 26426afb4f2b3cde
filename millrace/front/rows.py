"""Result rows and error records of one job as JSON lines, also while the job still runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import closing

import pyarrow as pa

from millrace import datasets, storage
from millrace.datasets.jsonl_writer import json_lines
from millrace.db.session import Database
from millrace.error_records import error_records as final_records
from millrace.error_records import raw_records
from millrace.lifecycle import queries
from millrace.lifecycle.queries import JobView, SettledChunk
from millrace.manifest import MANIFEST, Manifest
from millrace.storage.base import InputStream, blocks
from millrace.types import JobState

PUBLISHED = frozenset({JobState.SUCCEEDED, JobState.PARTIAL})

_FAR = 1 << 62
_PAGE = 1_000


def result_lines(database: Database, job: JobView) -> Iterator[bytes]:
    """Every result row that is committed so far, in input order."""
    for chunk in _settled(database, job):
        if chunk.part is not None:
            yield from _lines(job, chunk.part.path)


def error_records(database: Database, job: JobView) -> Iterator[bytes]:
    """The error records, as far as row numbers are known: up to the first chunk still at work.

    As bytes to be written one behind the other; a piece may hold many records, or part of one.
    """
    store = storage.for_uri(job.spec.output)
    if job.state in PUBLISHED:
        manifest = Manifest.from_bytes(store.read(f"{job.spec.output}/{MANIFEST}"))
        for entry in manifest.errors:
            with closing(_opened(job, entry.path)) as source:
                yield from blocks(source)
        return
    with database.read() as connection:
        inputs = queries.inputs(connection, job.id)
    for record in final_records(store, job.spec, inputs, _unbroken(_settled(database, job))):
        yield json.dumps(record, ensure_ascii=False).encode() + b"\n"


def failures(database: Database, job: JobView) -> Iterator[tuple[int, str, str]]:
    """Place in its file, code and message of every error row so far, in input order.

    Unlike the records themselves these need no row numbers, so there are some behind a gap, too.
    For jobs over one file of lines.
    """
    if job.state in PUBLISHED:
        # what the chunks wrote themselves is swept by then
        for line in whole_lines(error_records(database, job)):
            record = json.loads(line)
            yield record["byte"], record["code"], record["message"]
        return
    store = storage.for_uri(job.spec.output)
    with database.read() as connection:
        inputs = queries.inputs(connection, job.id)
    for chunk in _settled(database, job):
        for raw in raw_records(store, job.spec, inputs, chunk):
            yield raw["position"], raw["code"], raw["message"]


def whole_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The lines in pieces of bytes that are one behind the other, without their ends."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    if rest:
        yield rest


def _settled(database: Database, job: JobView) -> Iterator[SettledChunk]:
    """Those of which the end is known, in input order; no transaction is open between two pages."""
    after = -1
    while True:
        with database.read() as connection:
            page = [*queries.settled_chunks(connection, job.id, after=after, limit=_PAGE)]
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].span.start


def _unbroken(settled: Iterator[SettledChunk]) -> Iterator[SettledChunk]:
    """The chunks from the first one up to the first gap."""
    end = 0
    for chunk in settled:
        if chunk.span.start != end:
            return
        yield chunk
        end = chunk.span.end


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
