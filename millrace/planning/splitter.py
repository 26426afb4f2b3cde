"""Cutting a dataset into chunks: pure arithmetic over sizes and footers.

All sizes are measured in *loads*: a load is one full chunk, that is the wished number of rows or of
bytes, whichever a file's estimate reaches first. Small files share a chunk; a large one is cut
evenly; chunks shrink near the end of the job so that all slots finish together.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import ceil

from millrace.datasets.base import Layout
from millrace.errors import InvalidInput
from millrace.types import Input, PlannedChunk, Span

MAX_CHUNKS = 100_000

_FLOOR = 1 / 8
_MUCH_LARGER = 4
_ROUNDING = 1e-9


def cut(
    inputs: Sequence[tuple[Input, Layout]],
    *,
    rows: int,
    bytes: int,  # noqa: A002
    slots: int,
    fixed: bool = False,
) -> Iterator[PlannedChunk]:
    """Chunks that cover every position of `inputs` exactly once, in order.

    A chunk is wished to hold `rows` rows or `bytes` bytes, whichever is less; `slots` is how many
    chunks run at once. Files that are not divisible are never cut. A plan of more than 100,000
    chunks is made coarser, or, where the caller `fixed` the size, is `InvalidInput`
    TOO_MANY_CHUNKS with a size that would do.
    """
    files = [_File.of(each, layout, rows, bytes) for each, layout in inputs if each.extent > 0]
    factor = 1.0
    while len(plan := list(islice(_plan(files, factor, slots), MAX_CHUNKS + 1))) > MAX_CHUNKS:
        factor *= 2
    if fixed and factor > 1:
        raise InvalidInput(
            "TOO_MANY_CHUNKS",
            f"chunks of {rows} rows or {bytes} bytes would be more than {MAX_CHUNKS}",
            f"use --chunk-rows {ceil(rows * factor)} and --chunk-bytes {ceil(bytes * factor)}",
        )
    return iter(plan)


@dataclass(frozen=True, slots=True)
class _File:
    input: Input
    borders: tuple[int, ...]
    loads: float

    @classmethod
    def of(cls, source: Input, layout: Layout, rows: int, size: int) -> _File:
        return cls(source, layout.borders, max(layout.rows / rows, source.size / size))

    def weight(self, start: int, end: int) -> int:
        """Bytes of the file that the positions ``[start, end)`` answer for."""
        size, extent = self.input.size, self.input.extent
        return end * size // extent - start * size // extent


def _plan(files: Sequence[_File], factor: float, slots: int) -> Iterator[PlannedChunk]:
    left = sum(file.loads for file in files) / factor
    start, gathered, weight = 0, 0.0, 0
    for file in files:
        loads = file.loads / factor
        if gathered and gathered + loads > _limit(left, slots) + _ROUNDING:
            yield PlannedChunk(Span(start, file.input.base), weight)
            left, gathered, weight = left - gathered, 0.0, 0
        if file.input.divisible and loads > _limit(left, slots):
            yield from _pieces(file, loads, left, slots)
            left -= loads
            continue
        if not gathered:
            start = file.input.base
        gathered, weight = gathered + loads, weight + file.input.size
        end = file.input.base + file.input.extent
    if gathered:
        yield PlannedChunk(Span(start, end), weight)


def _pieces(file: _File, loads: float, left: float, slots: int) -> Iterator[PlannedChunk]:
    """Cut one file evenly, in pieces that shrink with what is `left` of the job."""
    base, extent, start = file.input.base, file.input.extent, 0
    per_position = loads / extent
    while start < extent:
        rest = (extent - start) * per_position
        wish = rest / ceil(rest / _limit(left, slots))
        end = _end(file.borders, start, max(1, round(wish / per_position)), extent)
        yield PlannedChunk(Span(base + start, base + end), file.weight(start, end))
        left -= (end - start) * per_position
        start = end


def _end(borders: Sequence[int], start: int, length: int, extent: int) -> int:
    """Where a piece of about `length` positions from `start` had best end.

    At a border where one is near; inside a row group only if that is more than four times as long.
    """
    if not borders or start + length >= extent:
        return min(start + length, extent)
    after = bisect_right(borders, start)
    border = borders[after] if after < len(borders) else extent
    distance = border - start
    if distance > _MUCH_LARGER * length:
        return start + ceil(distance / ceil(distance / length))
    furthest = borders[bisect_right(borders, start + length) - 1]
    return max(furthest, border) if furthest > start else border


def _limit(left: float, slots: int) -> float:
    """Loads that the next chunk may hold while `left` are still to be planned."""
    return min(1.0, max(_FLOOR, left / (2 * slots)))
