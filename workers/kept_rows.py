"""The rows of an order that an earlier job got right: left out of the work, put back into the part.

Rows are known by their numbers inside the whole chunk that the earlier job had computed. An order
for a piece of that chunk counts the rows before it first.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from millrace.datasets.base import Rows, WritableFormat
from millrace.errors import InvalidInput
from millrace.types import Kept


class KeptRows:
    """What is kept for one order; `part` is a local file with the rows of the whole chunk.

    Of the chunk's rows, `before` stand before the first one of the order; `to_the_end` says that
    none stands behind its last one.
    """

    def __init__(self, kept: Kept, part: Path, before: int, *, to_the_end: bool) -> None:
        self.part = part
        self.rows = 0
        """How many of the order's rows are kept; known once they are settled."""
        self._part_rows = kept.part.rows
        self._before = before
        self._to_the_end = to_the_end
        self._borders = np.cumsum(kept.runs, dtype=np.int64)
        self._computed: list[NDArray[np.int64]] = []
        self._turns = np.empty((0, 2), dtype=np.int64)

    @property
    def is_all(self) -> bool:
        """Every row of the part is among those of the order."""
        return self.rows == self._part_rows

    def schema(self) -> pa.Schema:
        """The columns of the part, which is a Parquet file."""
        return pq.read_schema(self.part)

    def missing(self, rows: Rows, first: int) -> Rows:
        """Those of `rows` that are to be computed; `first` more of the order come before them."""
        wanted = self._is_missing(rows.row + first)
        rejected = np.array([reject.row for reject in rows.rejects], dtype=np.int64)
        refused = zip(rows.rejects, self._is_missing(rejected + first), strict=True)
        # Arrow takes a batch without columns for one without rows, and refuses to filter it.
        batch = rows.batch.filter(pa.array(wanted)) if rows.batch.num_columns else rows.batch
        return Rows(
            batch,
            rows.row[wanted],
            rows.position[wanted],
            tuple(reject for reject, is_missing in refused if is_missing),
        )

    def computed(self, row: NDArray[np.int64]) -> None:
        """These rows of the order have results now; they ascend over all calls."""
        self._computed.append(row)

    def settle(self, rows: int) -> int:
        """The order has `rows` rows, all told; returns how many of them are kept.

        `InvalidInput` PARENT_MISMATCH unless they are as many as the earlier job has counted.
        """
        known, seen = int(self._borders[-1]), self._before + rows
        if seen > known or (self._to_the_end and seen != known):
            raise InvalidInput(
                "PARENT_MISMATCH",
                f"a block has {seen:,} rows where an earlier job has read {known:,}",
                "submit the job anew, without the results of that one",
            )
        lengths = np.diff(np.clip(self._borders, self._before, seen), prepend=self._before)
        self._turns = np.append(lengths, [0] * (len(lengths) % 2)).reshape(-1, 2)
        self.rows = int(self._turns[:, 0].sum())
        return self.rows

    def splice(self, form: WritableFormat, fresh: Path | None, to: Path) -> None:
        """Write the kept rows and those of `fresh`, the computed ones, in the input's order."""
        row = np.concatenate([np.empty(0, np.int64), *self._computed]) + self._before
        runs = np.searchsorted(self._borders, row, side="right")
        results = np.bincount(runs // 2, minlength=len(self._turns))
        kept = self._turns[:, 0]
        turns = zip(kept.tolist(), results.tolist(), strict=True)
        lengths = np.diff(np.minimum(self._borders, self._before), prepend=0)
        form.splice(self.part, fresh, int(lengths[::2].sum()), turns, to)

    def _is_missing(self, row: NDArray[np.int64]) -> NDArray[np.bool_]:
        run = np.searchsorted(self._borders, row + self._before, side="right")
        return np.equal(run % 2, 1)
