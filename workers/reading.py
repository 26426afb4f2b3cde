"""How the rows that a reader gives follow one another: none is skipped and none comes twice."""

from __future__ import annotations

from millrace.datasets.base import UNKNOWN_EXTENT, Rows
from millrace.errors import Unavailable
from millrace.types import Input, Reading


def followed(before: Reading, rows: Rows) -> Reading:
    """`before` with `rows` behind it; `Unavailable` where they do not meet."""
    if before.end is not None and rows.start is not None and rows.start != before.end:
        raise Unavailable(
            "READER_SKIPPED",
            f"input {before.index}: rows at {rows.start} came behind those that end at "
            f"{before.end}",
            "report this to whoever wrote the format",
        )
    start = before.start if before.rows or before.start is not None else rows.start
    return Reading(before.index, _next_row(rows, before.rows), start, rows.end)


def expect_whole(reading: Reading, source: Input, end: int) -> None:
    """`Unavailable` where the reader stopped before the position `end` of the job's space."""
    last = min(end - source.base, source.extent)
    if reading.end is not None and reading.end < last and source.extent != UNKNOWN_EXTENT:
        raise Unavailable(
            "READER_STOPPED",
            f"{source.uri}: nothing was read from {reading.end} to {last}",
            "report this to whoever wrote the format",
        )


def _next_row(rows: Rows, otherwise: int) -> int:
    """The number after those of `rows`; a reader that skips one is found out by the final count."""
    last = [*rows.row[-1:].tolist(), *(reject.row for reject in rows.rejects[-1:])]
    return max(last) + 1 if last else otherwise
