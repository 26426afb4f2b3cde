"""The files of a job: found, looked into, and laid one behind the other in one space of positions.

Files are looked into several at a time, as most of that is waiting for storage; no more of each is
read than a sample or a footer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import pyarrow as pa

from millrace import datasets, storage
from millrace.datasets.base import Layout
from millrace.datasets.sample import SAMPLE
from millrace.errors import InvalidInput
from millrace.spec import JobSpec
from millrace.storage.base import Storage, StoredObject
from millrace.storage.search import find, of_input
from millrace.storage.uri import basename
from millrace.types import Input

THREADS = 16

_WELL_LOOKED_INTO = 64
_SHORT_SAMPLE = 1 << 15
"""Of files after the first ones; what S3 sends with its first answer holds it."""

T = TypeVar("T")
U = TypeVar("U")


def survey(spec: JobSpec) -> list[tuple[Input, Layout]]:
    """Every input file with its layout; `InvalidInput` tells what is wrong with one of them."""
    store = storage.for_uri(spec.input)
    surveyed: list[tuple[Input, Layout]] = []
    schemas: dict[bytes, pa.Schema] = {}
    base = 0
    files = enumerate(find(store, spec.input))
    seen = in_parallel(lambda each: _inspect(store, each[1], spec, _sample(each[0])), files)
    for index, (found, name, layout) in enumerate(seen):
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
        # a hundred thousand files have a handful of schemas
        schema = schemas.setdefault(layout.schema.serialize().to_pybytes(), layout.schema)
        surveyed.append((each, replace(layout, schema=schema)))
        base += layout.extent
    return surveyed


def in_parallel(work: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """``map`` by several threads: results in order, only a few ahead of who takes them."""
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="survey")
    under_way: deque[Future[U]] = deque()
    try:
        for item in items:
            under_way.append(pool.submit(work, item))
            if len(under_way) >= 2 * THREADS:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _sample(index: int) -> int:
    return SAMPLE if index < _WELL_LOOKED_INTO else _SHORT_SAMPLE


def _inspect(
    store: Storage, found: StoredObject, spec: JobSpec, sample: int
) -> tuple[StoredObject, str, Layout]:
    try:
        source = store.open(found)
    except InvalidInput as error:
        raise of_input(error) from error
    try:
        name = datasets.detect(found.uri, source, spec.input_format)
        form = datasets.for_name(name, multiline=spec.csv_multiline, sample=sample)
        return found, name, form.inspect(source, basename(found.uri))
    finally:
        source.close()
