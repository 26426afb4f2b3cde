"""The part of an earlier job: fetched and checked, and taken over as it is where nothing is new."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import cast

from millrace import datasets, storage
from millrace.datasets.base import WritableFormat
from millrace.errors import InvalidInput, NotFound
from millrace.storage.base import Storage, blocks
from millrace.storage.os_errors import translated
from millrace.types import Kept, Part, Reading
from workers.order import Finished, Progress, WorkOrder
from workers.progress import Report

_BLOCKS_BETWEEN_REPORTS = 64


@contextmanager
def fetched(kept: Kept, store: Storage, folder: str, alive: Callable[[], None]) -> Iterator[Path]:
    """The kept part as a local file, gone afterwards; `alive` is called now and then meanwhile.

    `InvalidInput` PARENT_PART_DAMAGED where it is not, byte for byte, what was published.
    """
    with store.spool(folder) as path:
        with translated(path), path.open("wb") as sink:
            for number, block in enumerate(_checked(kept)):
                sink.write(block)
                if number % _BLOCKS_BETWEEN_REPORTS == 0:
                    alive()
        yield path


def taken_over(order: WorkOrder, kept: Kept, report: Report) -> Finished:
    """The whole part under a name of this attempt: no row of the chunk is to be computed."""
    assert (kept.span.start, kept.span.end) == (order.start, order.end), "it is never split"
    output = order.spec.output
    form = cast(WritableFormat, datasets.for_name(order.spec.output_format))
    store = storage.for_uri(output)
    path = f"parts/{order.part_stem}{form.suffix}"
    with fetched(
        kept, store, f"{output}/parts", partial(report, Progress(rows=0, loaded=False))
    ) as spooled:
        store.put(spooled, f"{output}/{path}", kept.part.sha256)
    read = {each.index: each for each in kept.readings}
    return Finished(
        token=order.token,
        rows_ok=kept.part.rows,
        rows_err=0,
        part=Part(path, kept.part.rows, kept.part.bytes, kept.part.sha256),
        error_part=None,
        fingerprint={},
        readings=tuple(read.get(source.index, Reading(source.index, 0)) for source in order.inputs),
    )


def _checked(kept: Kept) -> Iterator[bytes]:
    """The bytes of the part; what comes last is the refusal, where they are not the right ones."""
    uri, digest = f"{kept.output}/{kept.part.path}", hashlib.sha256()
    store = storage.for_uri(uri)
    try:
        with closing(store.open(store.info(uri))) as stream:
            for block in blocks(stream):
                digest.update(block)
                yield block
    except (NotFound, InvalidInput) as error:
        if error.code == "STORAGE_FORBIDDEN":
            raise
        raise _damaged(uri, error.message) from None
    if digest.hexdigest() != kept.part.sha256:
        raise _damaged(uri, f"its SHA-256 is not {kept.part.sha256}")


def _damaged(uri: str, fault: str) -> InvalidInput:
    return InvalidInput(
        "PARENT_PART_DAMAGED",
        f"{uri} is not what was published there: {fault}",
        "put it back and retry this job, or submit a new one; millrace verify tells more",
    )
