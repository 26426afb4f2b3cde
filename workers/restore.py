"""From outcomes in any order back to the order of the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from millrace.errors import ModelError
from workers.engines.base import Predicted, Refused
from workers.result_types import fitted, united
from workers.window import Window


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What became of one window."""

    window: Window
    row: NDArray[np.int64]
    """Places in the window of the rows with a result, ascending."""
    columns: pa.Table | None
    """Their results, in that order; none where no row has one."""
    refused: tuple[Refused, ...]


def restored(
    window: Window, predicted: Sequence[Predicted], refused: Sequence[Refused]
) -> Outcomes:
    """Sort outcomes by row; `ModelError` unless each row of the window has exactly one.

    `InvalidInput` where the results of different batches make no common columns.
    """
    row = np.concatenate([np.empty(0, np.int64), *(each.row for each in predicted)])
    answered = np.sort(np.append(row, np.array([each.row for each in refused], dtype=np.int64)))
    if not np.array_equal(answered, np.arange(window.batch.num_rows)):
        raise ModelError(
            "ENGINE_CONTRACT",
            f"the engine answered {len(answered)} times for {window.batch.num_rows} rows",
            "report this to whoever wrote the engine",
        )
    sorted_refused = tuple(sorted(refused, key=lambda each: each.row))
    if not predicted:
        return Outcomes(window, row, None, sorted_refused)
    columns = united([each.columns for each in predicted])
    order = np.argsort(row, kind="stable")
    if not np.array_equal(order, np.arange(len(order))):
        columns = columns.combine_chunks().take(pa.array(order))
    return Outcomes(window, row[order], columns, sorted_refused)


def single(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    """A column of several pieces as one array of type `kind`."""
    whole = column.combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = whole.chunk(0)
    return whole if whole.type == kind else fitted(whole, kind)
