r"""The one rule by which line formats are cut.

A row starts at position 0 or right after a ``\n``, and belongs to the range that holds its first
byte. A reader of ``[start, end)`` therefore looks at byte ``start - 1``, skips to the first row
start, and finishes its last row beyond `end`. A byte order mark is part of the first row and
is stripped; nothing after the last newline is no row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from millrace.datasets.base import UNKNOWN_EXTENT
from millrace.datasets.records import MAX_RECORD, Records
from millrace.errors import Unavailable
from millrace.storage.base import InputStream

BLOCK = 1 << 20
BATCH_ROWS = 4_096
BOM = b"\xef\xbb\xbf"

_LEAST_READ = 1 << 16


def cut(
    source: InputStream, start: int, end: int, limit: int = MAX_RECORD
) -> Iterator[tuple[int, bytes, int | None]]:
    """Stretches of whole rows of ``[start, end)``, between their position and that of the next row.

    Every stretch but the last of the file ends with its newline. A row over `limit` bytes comes as
    a stretch of its own, cut after ``limit + 1`` bytes and without a newline; nobody looks for the
    next row beyond `end` then.
    """
    position = 0 if start == 0 else _row_start(source, start - 1, end)
    pending = bytearray()
    while position < end:
        at = position + len(pending)
        block = _read(source, at, min(BLOCK, max(end - at, _LEAST_READ)))
        pending += block
        length = _whole(pending, end - 1 - position) if block else len(pending)
        if length:
            yield position, bytes(pending[:length]), position + length
            position += length
            del pending[:length]
        if len(pending) > limit:
            following = _row_start(source, position + len(pending), end)
            seen = following < end or end >= source.size
            yield position, bytes(pending[: limit + 1]), following if seen else None
            position = following
            pending.clear()
        if not block:
            return


def lines(source: InputStream, start: int, end: int, limit: int = MAX_RECORD) -> Iterator[Records]:
    """The rows of ``[start, end)``, in stretches of at most 4,096 rows."""
    for position, stretch, following in cut(source, start, end, limit):
        yield from batched(replace(split(position, stretch), end=following))


def split(position: int, stretch: bytes) -> Records:
    """A stretch of whole rows as one record per line, without line ends and byte order mark."""
    content = stretch.split(b"\n")
    if not content[-1]:
        content.pop()
    offsets = np.cumsum([0] + [len(line) + 1 for line in content[:-1]], dtype=np.int64)
    if b"\r" in stretch:
        content = [line.removesuffix(b"\r") for line in content]
    if position == 0 and content[0].startswith(BOM):
        content[0] = content[0].removeprefix(BOM)
        if stretch == BOM:
            content, offsets = [], offsets[:0]
    return Records(position + offsets, content, position, position + len(stretch))


def batched(records: Records) -> Iterator[Records]:
    for first in range(0, len(records.content), BATCH_ROWS):
        yield part(records, first, first + BATCH_ROWS)


def part(records: Records, first: int, last: int) -> Records:
    """The records from number `first` to before `last`, of which there is one at least."""
    position = records.position
    return Records(
        position[first:last],
        records.content[first:last],
        int(position[first]) if first else records.start,
        int(position[last]) if last < len(position) else records.end,
    )


def _whole(pending: bytearray, last: int) -> int:
    """Length of the whole rows in `pending` that start at or before index `last`."""
    if (newline := pending.find(b"\n", last)) >= 0:
        return newline + 1
    return pending.rfind(b"\n", 0, last) + 1


def _row_start(source: InputStream, offset: int, end: int) -> int:
    """The place after the first newline at or after `offset`, or `end` if there is none before."""
    while offset < end - 1:
        block = _read(source, offset, min(BLOCK, end - 1 - offset))
        if not block:
            break
        if (newline := block.find(b"\n")) >= 0:
            return offset + newline + 1
        offset += len(block)
    return end


def _read(source: InputStream, offset: int, length: int) -> bytes:
    """Nothing at the end of the file only: whoever takes a fault for the end loses rows."""
    block = source.read_at(offset, length)
    if not block and offset < source.size and source.size != UNKNOWN_EXTENT:
        raise Unavailable(
            "READ_SHORT", f"nothing came at byte {offset} of a file of {source.size} bytes"
        )
    return block
