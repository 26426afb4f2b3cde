"""Publication: from committed chunks to a manifest, and what is left over swept away.

The manifest is built from database rows alone and put once. Doing all of this again, here or on
another worker, at any step, ends in the same bytes or changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial

from pydantic import JsonValue
from sqlalchemy import Connection

from millrace import storage
from millrace.db.session import Database
from millrace.error_records import error_records, readings
from millrace.errors import (
    Conflict,
    InvalidInput,
    LeaseLost,
    MillraceError,
    NotFound,
    Unavailable,
    UnsoundResults,
)
from millrace.failpoints import failpoint
from millrace.lifecycle import chunks, jobs, queries
from millrace.lifecycle.queries import JobView, SettledChunk
from millrace.manifest import (
    MANIFEST,
    SUCCESS,
    Manifest,
    ManifestErrors,
    ManifestInput,
    ManifestParent,
    ManifestPart,
    RowCounts,
    addressed,
    distinct,
    sha256,
    tombstone,
)
from millrace.storage.base import Storage
from millrace.telemetry import fields
from millrace.types import Input, JobId, Lease
from workers.seams import check_seams

log = logging.getLogger(__name__)


def publish(database: Database, lease: Lease) -> None:
    """Publish the results of the job whose finalize chunk is leased, and end the job.

    Where a part is no longer what was committed, its chunk is computed again instead. Raises
    `Conflict` where the output holds another manifest, and `InvalidInput` where nothing can be
    published; a tombstone then keeps everybody else from publishing. Where storage lets us do
    neither, nobody knows whether the results are published: `Unavailable`.
    """
    with database.read() as connection:
        job = queries.job(connection, lease.job_id)
        assert job is not None, "a leased chunk has a job"
        inputs = queries.inputs(connection, lease.job_id)
        settled = tuple(queries.settled_chunks(connection, lease.job_id))
        parent = _parent(connection, job.parent_id)
    store = storage.for_uri(job.spec.output)
    try:
        check_seams(settled, inputs)
        _check_parts(store, job, settled)
        errors = _write_errors(store, job, inputs, settled)
        manifest = _manifest(job, inputs, settled, errors, parent)
        content = manifest.to_bytes()
        failpoint("f.built")
    except (InvalidInput, Conflict) as error:
        if isinstance(error, UnsoundResults) and _sent_back(database, lease, store, job, error):
            return
        grave = tombstone(job.id)
        standing = _claim(store, job, grave)
        if standing == grave or not _is_of(job, standing):
            raise
        # an earlier attempt has published and only could not say so
        manifest, content = Manifest.from_bytes(standing), standing
    if _claim(store, job, content) != content:
        raise Conflict(
            "OUTPUT_CONFLICT",
            f"{job.spec.output} already holds another manifest",
            "choose another --output; nothing was overwritten",
        )
    failpoint("f.put")
    with _undecided():
        store.put_once(f"{job.spec.output}/{SUCCESS}", b"")
    with database.read() as connection:
        if chunks.settled(connection, lease) != "leased":
            raise LeaseLost
    # before the job ends: whoever waits for that may end this process at once
    _sweep(store, job, manifest)
    failpoint("f.swept")
    with database.write() as connection:
        jobs.publish(connection, lease, sha256(content))
    failpoint("f.published")


def _sent_back(
    database: Database, lease: Lease, store: Storage, job: JobView, error: UnsoundResults
) -> bool:
    """Whether the chunks at fault run again; not where a manifest is there, or may still come."""
    with _undecided():
        if _published(store, job):
            return False
    again = partial(
        jobs.recompute, lease=lease, idxs=error.chunks, code=error.code, reason=error.message
    )
    if not database.transact(again):
        return False
    told = fields(job=job.id, chunks=len(error.chunks), code=error.code, reason=error.message)
    log.warning("computed again instead of published %s", told)
    return True


def _published(store: Storage, job: JobView) -> bool:
    try:
        store.read(f"{job.spec.output}/{MANIFEST}")
    except NotFound:
        return False
    return True


@contextmanager
def _undecided() -> Iterator[None]:
    """Not being allowed to publish says nothing of what an earlier try did."""
    try:
        yield
    except (InvalidInput, NotFound) as error:
        raise Unavailable(error.code, error.message, error.hint) from error


def _claim(store: Storage, job: JobView, content: bytes) -> bytes:
    """The manifest that stands in the output from now on, `content` if there was none."""
    with _undecided():
        if not store.exclusive(job.spec.output):
            # whatever may come to stand under the usual name, this one keeps its own
            store.put_once(f"{job.spec.output}/{addressed(content)}", content)
        return store.put_once(f"{job.spec.output}/{MANIFEST}", content)


def _is_of(job: JobView, content: bytes) -> bool:
    try:
        return Manifest.from_bytes(content).job == job.id
    except InvalidInput:
        return False


def _parent(connection: Connection, parent_id: JobId | None) -> ManifestParent | None:
    """The published job that rows were taken over from."""
    if parent_id is None:
        return None
    published = queries.known_job(connection, parent_id).manifest_sha256
    assert published is not None, "rows are kept of published jobs only"
    return ManifestParent(job=parent_id, manifest_sha256=published)


def _check_parts(store: Storage, job: JobView, settled: tuple[SettledChunk, ...]) -> None:
    """Each committed part is still there and as long as it was."""
    sizes = {
        found.uri: found.size
        for folder in ("parts", "errors")
        for found in store.list(f"{job.spec.output}/{folder}")
    }
    damaged: dict[int, str] = {}
    for chunk in settled:
        for part in (chunk.part, chunk.error_part):
            size = part and sizes.get(f"{job.spec.output}/{part.path}", -1)
            if part and size != part.bytes:
                found = "is gone" if size == -1 else f"has {size} bytes instead of {part.bytes}"
                damaged.setdefault(chunk.idx, f"{part.path} {found}")
    if damaged:
        first, *others = damaged.values()
        more = f", and {len(others)} more like it" if others else ""
        raise UnsoundResults(
            "PART_DAMAGED",
            f"{first}{more}: something outside Millrace changed the output",
            damaged,
        )


def _write_errors(
    store: Storage, job: JobView, inputs: tuple[Input, ...], settled: tuple[SettledChunk, ...]
) -> tuple[ManifestErrors, ...]:
    """All error records in input order, rows numbered over the whole input, as one new object."""
    rows = sum(chunk.rows_err for chunk in settled)
    if rows == 0:
        return ()
    digest, size, written = hashlib.sha256(), 0, 0
    folder = f"{job.spec.output}/errors"
    with store.spool(folder) as spooled:
        with spooled.open("wb") as sink:
            for record in error_records(store, job.spec, inputs, settled):
                line = json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"
                digest.update(line)
                size += len(line)
                written += 1
                sink.write(line)
            # named by its content, it must not be found empty under this name after a power cut
            sink.flush()
            os.fsync(sink.fileno())
        if written != rows:
            raise InvalidInput(
                "PART_DAMAGED", f"{written} error records where {rows} were committed"
            )
        name = f"errors-{digest.hexdigest()[:16]}.jsonl"
        store.put(spooled, f"{folder}/{name}", digest.hexdigest())
        store.settle([f"{folder}/{name}"])
    return (
        ManifestErrors(path=f"errors/{name}", rows=rows, bytes=size, sha256=digest.hexdigest()),
    )


def _manifest(
    job: JobView,
    inputs: tuple[Input, ...],
    settled: tuple[SettledChunk, ...],
    errors: tuple[ManifestErrors, ...],
    parent: ManifestParent | None,
) -> Manifest:
    read = dict.fromkeys((each.index for each in inputs), 0)
    parts, first_row, position = [], 0, 0
    for chunk in settled:
        if chunk.span.start != position:
            raise MillraceError("PLAN_BROKEN", f"chunks do not meet at position {position}")
        position = chunk.span.end
        for each in readings(chunk, inputs):
            read[each.index] += each.rows
        rows_in = chunk.rows_ok + chunk.rows_err
        if chunk.part is not None:
            parts.append(
                ManifestPart(
                    path=chunk.part.path,
                    rows=chunk.part.rows,
                    bytes=chunk.part.bytes,
                    sha256=chunk.part.sha256,
                    first_row=first_row,
                    rows_in=rows_in,
                )
            )
        first_row += rows_in
    if position != job.position_end:
        raise MillraceError("PLAN_BROKEN", f"chunks end at {position}, not {job.position_end}")
    rows_err = sum(chunk.rows_err for chunk in settled)
    return Manifest(
        job=job.id,
        state="partial" if rows_err else "succeeded",
        spec_hash=job.spec_hash,
        spec=job.spec,
        inputs=tuple(
            ManifestInput(
                uri=each.uri,
                format=each.format,
                size=each.size,
                version=each.version,
                rows=read[each.index],
            )
            for each in inputs
        ),
        rows=RowCounts(input=first_row, ok=first_row - rows_err, errors=rows_err),
        parts=tuple(parts),
        errors=errors,
        computed_by=distinct(_fingerprints(settled)),
        parent=parent,
    )


def _fingerprints(settled: tuple[SettledChunk, ...]) -> Iterator[Mapping[str, JsonValue]]:
    for chunk in settled:
        kept = chunk.kept.fingerprints if chunk.kept is not None and chunk.part else ()
        yield from (each for each in (chunk.fingerprint, *kept) if each)


def _sweep(store: Storage, job: JobView, manifest: Manifest) -> None:
    """Delete what attempts that can no longer commit have left beside the published parts."""
    keep = {f"{job.spec.output}/{path}" for path in manifest.paths()}
    try:
        for folder in ("parts", "errors"):
            store.clear_spool(f"{job.spec.output}/{folder}")
            for leftover in store.list(f"{job.spec.output}/{folder}"):
                if leftover.uri not in keep:
                    log.info("swept %s", leftover.uri)
                    store.delete(leftover.uri)
    except InvalidInput as error:
        log.warning("left unswept %s", fields(job=job.id, reason=error))
