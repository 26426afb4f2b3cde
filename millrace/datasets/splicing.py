"""Two files of rows made one, row by row and byte for byte."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import BinaryIO, TypeAlias

from millrace.errors import InvalidInput

Turns: TypeAlias = Iterable[tuple[int, int]]
"""Pairs of numbers of rows: so many of the first file, then so many of the second."""


def interleave(
    first: Iterator[bytes], second: Iterator[bytes], skip: int, turns: Turns, sink: BinaryIO
) -> None:
    """Write records by turns, leaving out the first `skip` of `first`.

    `InvalidInput` ROWS_MISSING where one of the two has too few.
    """
    for _ in _taken(first, skip):
        pass
    for ours, theirs in turns:
        sink.writelines(_taken(first, ours))
        sink.writelines(_taken(second, theirs))


def too_few(missing: int) -> InvalidInput:
    """The refusal where a file ends before its last turn."""
    return InvalidInput(
        "ROWS_MISSING", f"a part has {missing:,} rows less than it should", "submit the job anew"
    )


def columns_differ(first: object, second: object) -> InvalidInput:
    """The refusal to mix rows of different columns."""
    return InvalidInput(
        "COLUMNS_CHANGED",
        f"the results had the columns {first}, and now have {second}",
        "submit the job anew: rows of different columns do not make one file",
    )


def _taken(records: Iterator[bytes], count: int) -> Iterator[bytes]:
    found = 0
    for found, record in enumerate(islice(records, count), 1):  # noqa: B007
        yield record
    if found < count:
        raise too_few(count - found)
