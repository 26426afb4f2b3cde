"""The plan of a job that retries the failed rows of another one: the other's chunks once more.

Each new chunk covers what a settled chunk of the parent covered. It keeps the parent's part, and
knows which rows are missing in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

from millrace.errors import InvalidInput
from millrace.lifecycle.queries import SettledChunk
from millrace.published import damaged
from millrace.types import Json, Kept, PlannedChunk

MAX_RUNS = 1_000_000
"""Runs of kept and of missing rows in one chunk; what a worker is told must fit into a message."""


def mirrored(
    output: str, settled: Iterable[SettledChunk], failed: Iterator[int]
) -> Iterator[PlannedChunk]:
    """The chunks of the new plan; `failed` are the parent's rows with an error record, ascending.

    The parent's parts stand in `output`; `settled` are its chunks in input order. Raises `Conflict`
    where the error records are not as many as these have counted, each for another row.
    """
    first_row, ahead = 0, _Failed(failed)
    for chunk in settled:
        rows = chunk.rows_ok + chunk.rows_err
        try:
            runs = runs_of(ahead.within(first_row, first_row + rows), rows)
        except ValueError:
            raise damaged(f"{output}/errors") from None
        if sum(runs[1::2]) != chunk.rows_err:
            raise damaged(f"{output}/errors")
        yield PlannedChunk(chunk.span, chunk.weight, _kept(output, chunk, runs))
        first_row += rows
    if ahead.row is not None:
        raise damaged(f"{output}/errors")


def runs_of(missing: Iterable[int], rows: int) -> tuple[int, ...]:
    """Lengths of runs of rows, by turns kept and missing, the first one kept and maybe empty.

    `InvalidInput` TOO_SCATTERED where there are too many; `ValueError` unless `missing` ascends.
    """
    borders = [0]
    for row in missing:
        if row < borders[-1]:
            raise ValueError(row)
        if len(borders) > 1 and borders[-1] == row:
            borders[-1] = row + 1
        else:
            borders += (row, row + 1)
        if len(borders) > MAX_RUNS:
            raise _too_scattered(rows)
    return tuple(end - start for start, end in pairwise([*borders, rows]))


class _Failed:
    """Ascending numbers of rows, handed out block by block; `row` is the next one."""

    def __init__(self, rows: Iterator[int]) -> None:
        self._rows = rows
        self.row = next(rows, None)

    def within(self, start: int, end: int) -> Iterator[int]:
        """Those before `end`, counted from `start`."""
        while self.row is not None and self.row < end:
            yield self.row - start
            self.row = next(self._rows, None)


def _kept(output: str, chunk: SettledChunk, runs: tuple[int, ...]) -> Kept | None:
    if chunk.part is None:
        return None
    before = chunk.kept.fingerprints if chunk.kept is not None else ()
    return Kept(
        output=output,
        part=chunk.part,
        span=chunk.span,
        runs=runs,
        readings=chunk.readings,
        fingerprints=_distinct(chain([dict(chunk.fingerprint)], before)),
    )


def _too_scattered(rows: int) -> InvalidInput:
    return InvalidInput(
        "TOO_SCATTERED",
        f"the error rows of one block of {rows:,} rows are scattered over more than"
        f" {MAX_RUNS // 2:,} places, which is more than a worker can be told",
        "submit the job anew, in smaller blocks: --chunk-rows, or files that are not compressed",
    )


def _distinct(fingerprints: Iterable[dict[str, Json]]) -> tuple[dict[str, Json], ...]:
    found: list[dict[str, Json]] = []
    for each in fingerprints:
        if each and each not in found:
            found.append(each)
    return tuple(found)
