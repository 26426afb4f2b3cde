"""A chunk as a stream of windows: consecutive rows, bounded in number and bytes.

A window is what is sorted, packed and un-sorted together, so memory stays flat for a chunk of any
size, and a chunk of usual size is one window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from millrace.datasets.base import Reject, Rows
from millrace.types import Input

MAX_ROWS = 4_096
MAX_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive rows of one input: the accepted ones as a batch, and the rejects among them."""

    source: Input
    first: int
    """Number of this input's first row inside the chunk."""
    rows: Rows


@dataclass(frozen=True, slots=True)
class Window:
    """Rows of one or several inputs. Arrays have one entry per row of `batch`."""

    batch: pa.RecordBatch
    row: NDArray[np.int64]
    """Number inside the chunk, ascending."""
    source: NDArray[np.int64]
    """Index of the input."""
    source_row: NDArray[np.int64]
    """Number among the rows that this chunk reads from its input."""
    position: NDArray[np.int64]
    """Position inside the file."""
    place: NDArray[np.int64]
    """Position in the job's space."""
    rejects: tuple[tuple[Stretch, Reject], ...]

    @property
    def rows(self) -> int:
        """All rows, accepted and rejected."""
        return int(self.batch.num_rows) + len(self.rejects)


def windows(stretches: Iterable[Stretch]) -> Iterator[Window]:
    """Cut and join `stretches` into windows; every row is in exactly one, in the same order."""
    waiting: list[Stretch] = []
    rows = size = 0
    for stretch in stretches:
        for piece in _pieces(stretch):
            more, larger = _rows(piece), piece.rows.batch.nbytes
            if waiting and (rows + more > MAX_ROWS or size + larger > MAX_BYTES):
                yield _joined(waiting)
                waiting, rows, size = [], 0, 0
            waiting.append(piece)
            rows, size = rows + more, size + larger
    if waiting:
        yield _joined(waiting)


def _rows(stretch: Stretch) -> int:
    return int(stretch.rows.batch.num_rows) + len(stretch.rows.rejects)


def _pieces(stretch: Stretch) -> Iterator[Stretch]:
    """The stretch in pieces that fit into a window, as far as bytes per row allow an estimate."""
    whole = stretch.rows
    if not _rows(stretch):
        return
    parts = max(-(-_rows(stretch) // MAX_ROWS), -(-whole.batch.nbytes // MAX_BYTES), 1)
    if parts == 1:
        yield stretch
        return
    numbers = np.sort(np.concatenate([whole.row, [reject.row for reject in whole.rejects]]))
    for wanted in np.array_split(numbers, parts):
        if len(wanted):
            yield _cut(stretch, int(wanted[0]), int(wanted[-1]))


def _cut(stretch: Stretch, first: int, last: int) -> Stretch:
    whole = stretch.rows
    start = int(np.searchsorted(whole.row, first))
    end = int(np.searchsorted(whole.row, last, side="right"))
    piece = Rows(
        whole.batch.slice(start, end - start),
        whole.row[start:end],
        whole.position[start:end],
        tuple(reject for reject in whole.rejects if first <= reject.row <= last),
    )
    return Stretch(stretch.source, stretch.first, piece)


def _joined(pieces: Sequence[Stretch]) -> Window:
    batches = [piece.rows.batch for piece in pieces]
    position = np.concatenate([piece.rows.position for piece in pieces])
    base = _spread(pieces, [piece.source.base for piece in pieces])
    source_row = np.concatenate([piece.rows.row for piece in pieces])
    return Window(
        batch=batches[0] if len(batches) == 1 else pa.concat_batches(batches),
        row=source_row + _spread(pieces, [piece.first for piece in pieces]),
        source=_spread(pieces, [piece.source.index for piece in pieces]),
        source_row=source_row,
        position=position,
        place=position + base,
        rejects=tuple((piece, reject) for piece in pieces for reject in piece.rows.rejects),
    )


def _spread(pieces: Sequence[Stretch], values: Sequence[int]) -> NDArray[np.int64]:
    """One value per piece as one value per accepted row."""
    counts = [piece.rows.batch.num_rows for piece in pieces]
    return np.repeat(np.array(values, dtype=np.int64), counts)
