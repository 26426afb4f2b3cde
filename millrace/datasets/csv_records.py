"""Where CSV records begin and end: at a newline with an even number of quotes before it.

A divisible file is cut by the line rule, without knowing whether a cut falls inside quotes. That
is sound because each reader counts: the first range starts outside quotes; a range that starts
outside and holds an even number of quotes ends outside, and the next one starts where it ends. So
if every range is even, every cut was right; and if one is not, its reader stops the job before
anything is published.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from millrace.datasets.lines import BOM, batched, cut, part, split
from millrace.datasets.records import Records
from millrace.errors import InvalidInput
from millrace.storage.base import InputStream

_QUOTE, _NEWLINE = ord('"'), ord("\n")


def records(
    source: InputStream, start: int, end: int, multiline: bool, limit: int
) -> Iterator[Records]:
    """The records that start in ``[start, end)``, in stretches of at most 4,096.

    With `multiline` the quotes are counted from the start of the file, so that any range is right;
    otherwise `InvalidInput` CSV_QUOTED_NEWLINE where the range holds an odd number of quotes.
    """
    stretches = cut(source, 0, source.size, limit) if multiline else cut(source, start, end, limit)
    pending, near = b"", start
    for position, stretch, _ in stretches:
        position -= len(pending)
        if position >= end:
            return
        content = pending + stretch
        whole = whole_records(content)
        pending, near = content[whole:], position + whole
        if len(pending) > limit or (len(stretch) > limit and b"\n" not in stretch):
            raise _too_long(position + whole, limit)
        if whole:
            found = split_records(position, content[:whole])
            first, last = np.searchsorted(found.position, (start, end))
            if first < last:
                yield from batched(part(found, first, last))
    if pending:
        raise unclosed_quote() if multiline else _quoted_newline(near)


def whole_records(content: bytes) -> int:
    """Length of the records in `content` that end outside quotes."""
    if content.count(b'"') % 2 == 0:
        return len(content)
    ends, inside = _newlines(content)
    outside = ends[~inside]
    return int(outside[-1]) + 1 if len(outside) else 0


def whole_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The records of a sound file that comes line by line, each with its line end."""
    pending: list[bytes] = []
    inside = False
    for line in lines:
        pending.append(line)
        inside ^= line.count(b'"') % 2 == 1
        if not inside:
            yield b"".join(pending)
            pending.clear()


def has_quoted_newline(content: bytes) -> bool:
    return b'"' in content and bool(_newlines(content)[1].any())


def split_records(position: int, content: bytes) -> Records:
    """Whole records as one entry each, without line ends and byte order mark."""
    if not has_quoted_newline(content):
        return split(position, content)
    ends, inside = _newlines(content)
    ends = ends[~inside]
    if not content.endswith(b"\n"):
        ends = np.append(ends, len(content))
    starts = np.concatenate(([0], ends[:-1] + 1))
    parts = [
        content[first:last].removesuffix(b"\r") for first, last in zip(starts, ends, strict=True)
    ]
    if position == 0:
        parts[0] = parts[0].removeprefix(BOM)
    places = position + starts.astype(np.int64)
    return Records(places, parts, position, position + len(content))


def unclosed_quote() -> InvalidInput:
    return InvalidInput(
        "CSV_UNCLOSED_QUOTE",
        "a quote is opened and never closed before the end of the file",
        'close it; write a quote inside a field twice, as in "5"" disk"',
    )


def _newlines(content: bytes) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Offsets of all newlines, and whether each is inside quotes."""
    signs = np.frombuffer(content, dtype=np.uint8)
    # Eight bits suffice: an overflow of the sum keeps its parity.
    odd = np.cumsum(signs == _QUOTE, dtype=np.uint8) & 1
    ends = np.flatnonzero(signs == _NEWLINE)
    return ends, odd[ends].astype(np.bool_)


def _too_long(position: int, limit: int) -> InvalidInput:
    return InvalidInput(
        "LINE_TOO_LONG",
        f"the record at byte {position} is longer than {limit} bytes",
        "look for a quote that is never closed",
    )


def _quoted_newline(near: int) -> InvalidInput:
    return InvalidInput(
        "CSV_QUOTED_NEWLINE",
        f"a quote is not closed, or a quoted field holds a newline, near byte {near}",
        "close the quote, or add --csv-multiline, which reads each file as one block",
    )
