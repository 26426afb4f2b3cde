"""What a job has published, looked at again before another job builds on it."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import IO

from millrace import storage
from millrace.errors import Conflict, InvalidInput, NotFound
from millrace.lifecycle.successor import results_gone
from millrace.lifecycle.views import JobView
from millrace.manifest import MANIFEST, Manifest, ManifestErrors, sha256
from millrace.storage.base import Storage, blocks


def manifest_of(job: JobView) -> Manifest:
    """The manifest of a finished job; `Conflict` where it is not the one that it published."""
    output = job.spec.output
    try:
        content = storage.for_uri(output).read(f"{output}/{MANIFEST}")
    except NotFound:
        raise results_gone(job.id) from None
    if sha256(content) != job.manifest_sha256:
        raise damaged(f"{output}/{MANIFEST}")
    return Manifest.from_bytes(content)


def check_sizes(job: JobView, manifest: Manifest) -> None:
    """`Conflict` where a published file is gone or longer or shorter than it was."""
    output = job.spec.output
    store = storage.for_uri(output)
    sizes = {
        found.uri: found.size
        for folder in ("parts", "errors")
        for found in store.list(f"{output}/{folder}")
    }
    published: tuple[ManifestErrors, ...] = (*manifest.parts, *manifest.errors)
    for entry in published:
        if sizes.get(f"{output}/{entry.path}") != entry.bytes:
            raise damaged(f"{output}/{entry.path}")


@contextmanager
def failed_rows(job: JobView) -> Iterator[Iterator[int]]:
    """The numbers of the rows with an error record, ascending, however many there are.

    The records are fetched and checked before the first number comes. `Conflict` where they are
    not those that were published.
    """
    manifest = manifest_of(job)
    store = storage.for_uri(job.spec.output)
    with tempfile.TemporaryFile() as fetched:
        for entry in manifest.errors:
            _fetch(store, f"{job.spec.output}/{entry.path}", entry.sha256, fetched)
        fetched.seek(0)
        yield (json.loads(line)["row"] for line in fetched)


def damaged(uri: str) -> Conflict:
    """The refusal to build on results that somebody has changed."""
    return Conflict(
        "PARENT_DAMAGED",
        f"{uri} is not what was published there: something outside Millrace changed it",
        "submit the job anew into another output; millrace verify tells more",
    )


def _fetch(store: Storage, uri: str, digest: str, sink: IO[bytes]) -> None:
    hashed = hashlib.sha256()
    try:
        with closing(store.open(store.info(uri))) as stream:
            for block in blocks(stream):
                hashed.update(block)
                sink.write(block)
    except (NotFound, InvalidInput):
        raise damaged(uri) from None
    if hashed.hexdigest() != digest:
        raise damaged(uri)
