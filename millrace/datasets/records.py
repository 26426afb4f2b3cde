"""From cut records to numbered rows: what every line format shares once the bytes are cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from millrace.datasets.base import Reject, Rows

MAX_RECORD = 64 << 20
"""Bytes of one row; a longer one is rejected in constant memory."""

EXCERPT = 80


@dataclass(frozen=True, slots=True)
class Records:
    """Consecutive rows as bytes, without their line ends."""

    position: NDArray[np.int64]
    """Place of each row's first byte in the (decoded) file, shape (len(content),)."""
    content: list[bytes]
    start: int
    """Where the first one starts."""
    end: int | None
    """Where the one behind them starts, if anybody has looked so far."""


@dataclass(frozen=True, slots=True)
class Fault:
    code: str
    message: str
    excerpt: str = ""


@dataclass(frozen=True, slots=True)
class Parsed:
    """Parsed records: `batch` has a row for each, whatever it holds where there is a fault."""

    batch: pa.RecordBatch
    faults: dict[int, Fault] = field(default_factory=dict)
    """By place in the list that was parsed."""


Parse = Callable[[list[bytes]], Parsed]


def number(stretches: Iterable[Records], parse: Parse, limit: int) -> Iterator[Rows]:
    """Parse the records of one range, number them from 0 and set the faulty ones apart."""
    first = 0
    for records in stretches:
        parsed = _parse_short(records.content, parse, limit)
        rows = numbered(first, records.position, parsed)
        yield replace(rows, start=records.start, end=records.end)
        first += len(records.content)


def numbered(first: int, position: NDArray[np.int64], parsed: Parsed) -> Rows:
    """Rows from `first` on, at the places `position`, without those that have a fault."""
    row = np.arange(first, first + len(position), dtype=np.int64)
    if not parsed.faults:
        return Rows(parsed.batch, row, position)
    rejects = tuple(
        Reject(int(row[place]), int(position[place]), fault.code, fault.message, fault.excerpt)
        for place, fault in sorted(parsed.faults.items())
    )
    good = np.ones(len(row), dtype=np.bool_)
    good[list(parsed.faults)] = False
    # Arrow takes a batch without columns for one without rows, and refuses to filter it.
    batch = parsed.batch.filter(pa.array(good)) if parsed.batch.num_columns else parsed.batch
    return Rows(batch, row[good], position[good], rejects)


def excerpt(content: bytes, at: int = 0) -> str:
    """At most 80 printable characters of a row, around character `at`."""
    start = max(0, at - EXCERPT // 2)
    text = content[: 4 * (start + EXCERPT)].decode("utf-8", "replace")[start : start + EXCERPT]
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def encoding_fault(content: bytes, error: UnicodeDecodeError) -> Fault:
    return Fault("ENCODING", f"byte {error.start} of the row is not valid UTF-8", excerpt(content))


def _parse_short(content: list[bytes], parse: Parse, limit: int) -> Parsed:
    """Parse with every overlong record emptied and faulted."""
    long = [place for place, record in enumerate(content) if len(record) > limit]
    if not long:
        return parse(content)
    shortened = [b"" if len(record) > limit else record for record in content]
    parsed = parse(shortened)
    faults = {
        place: Fault(
            "LINE_TOO_LONG", f"the row is longer than {limit} bytes", excerpt(content[place])
        )
        for place in long
    }
    return Parsed(parsed.batch, parsed.faults | faults)
