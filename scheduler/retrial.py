"""The plan of a job that retries the failed rows of another one: the other's chunks once more.

Each new chunk covers what a settled chunk of the parent covered. It keeps the parent's part, and
knows which rows are missing in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

from millrace.errors import InvalidInput
from millrace.lifecycle.queries import JobView, SettledChunk
from millrace.published import damaged
from millrace.types import Json, Kept, PlannedChunk

MAX_RUNS = 1_000_000
"""Runs of kept and of missing rows in one chunk; what a worker is told must fit into a message."""


def mirrored(
    parent: JobView, settled: Iterable[SettledChunk], failed: Iterator[int]
) -> Iterator[PlannedChunk]:
    """The chunks of the new plan; `failed` are the parent's rows with an error record, ascending.

    Raises `Conflict` where these do not add up to what the parent's chunks have counted.
    """
    first_row, row = 0, next(failed, None)
    for chunk in settled:
        end = first_row + chunk.rows_ok + chunk.rows_err
        missing = []
        while row is not None and row < end:
            missing.append(row - first_row)
            row = next(failed, None)
        if len(missing) != chunk.rows_err or (missing and missing[0] < 0):
            raise damaged(f"{parent.spec.output}/errors")
        kept = _kept(parent, chunk, runs_of(missing, end - first_row))
        yield PlannedChunk(chunk.span, chunk.weight, kept)
        first_row = end
    if row is not None:
        raise damaged(f"{parent.spec.output}/errors")


def runs_of(missing: list[int], rows: int) -> tuple[int, ...]:
    """Lengths of runs of rows, by turns kept and missing, the first one kept and maybe empty."""
    borders = [0]
    for row in missing:
        if len(borders) > 1 and borders[-1] == row:
            borders[-1] = row + 1
        else:
            borders += (row, row + 1)
    return tuple(end - start for start, end in pairwise([*borders, rows]))


def _kept(parent: JobView, chunk: SettledChunk, runs: tuple[int, ...]) -> Kept | None:
    if chunk.part is None:
        return None
    if len(runs) > MAX_RUNS:
        raise InvalidInput(
            "TOO_SCATTERED",
            f"the {chunk.rows_err:,} error rows of one block are scattered over {len(runs):,} runs,"
            f" and at most {MAX_RUNS:,} can be told to a worker",
            "submit the job anew with a smaller --chunk-rows, or cut its compressed input",
        )
    before = chunk.kept.fingerprints if chunk.kept is not None else ()
    return Kept(
        output=parent.spec.output,
        part=chunk.part,
        span=chunk.span,
        runs=runs,
        input_rows=chunk.input_rows,
        fingerprints=_distinct(chain([dict(chunk.fingerprint)], before)),
    )


def _distinct(fingerprints: Iterable[dict[str, Json]]) -> tuple[dict[str, Json], ...]:
    found: list[dict[str, Json]] = []
    for each in fingerprints:
        if each and each not in found:
            found.append(each)
    return tuple(found)
