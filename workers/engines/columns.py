"""Columns between Arrow and NumPy, and the choice of columns that an engine reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from millrace.errors import InvalidInput, RowError
from workers.engines.base import Refused


def chosen(schema: pa.Schema, asked: tuple[str, ...]) -> tuple[str, ...]:
    """`asked`, if the input has all of them; `InvalidInput` names the columns that it has."""
    missing = [name for name in asked if name not in schema.names]
    if missing:
        raise InvalidInput(
            "COLUMN_MISSING",
            f"the input has no column {', '.join(map(repr, missing))}",
            f"its columns are: {', '.join(schema.names)}",
        )
    return asked


def only_column(
    schema: pa.Schema,
    asked: tuple[str, ...] | None,
    fits: Callable[[pa.DataType], bool],
    kind: str,
    usual: Sequence[str] = (),
) -> str:
    """The one column to read: the one asked for, the only one of its kind, or a `usual` name."""
    candidates = [field.name for field in schema if fits(field.type)]
    if asked is not None:
        if len(asked) != 1 or chosen(schema, asked)[0] not in candidates:
            raise _no_choice(f"cannot read {', '.join(asked)}: it takes one {kind}", candidates)
        return asked[0]
    obvious = candidates if len(candidates) == 1 else [c for c in usual if c in candidates][:1]
    if not obvious:
        raise _no_choice(f"there is no obvious {kind} in the input", candidates)
    return obvious[0]


def _no_choice(fault: str, candidates: list[str]) -> InvalidInput:
    there = ", ".join(candidates) or "none fits"
    return InvalidInput("COLUMN_CHOICE", fault, f"choose with --input-columns; candidates: {there}")


def is_text(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def is_number(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    )


def is_vector(kind: pa.DataType) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in lists) and is_number(kind.value_type)


def nulls(rows: pa.RecordBatch) -> tuple[np.ndarray[Any, np.dtype[np.int64]], tuple[Refused, ...]]:
    """Places of the rows without any null, and a refusal for each of the others."""
    if not any(column.null_count for column in rows.columns):
        return np.arange(rows.num_rows), ()
    missing = np.zeros(rows.num_rows, dtype=bool)
    refused: dict[int, Refused] = {}
    for name, column in zip(rows.schema.names, rows.columns, strict=True):
        null = pc.is_null(column).to_numpy(zero_copy_only=False)
        missing |= null
        for row in np.flatnonzero(null).tolist():
            refused.setdefault(row, Refused(row, "NULL_VALUE", f"column {name!r} has no value"))
    return np.flatnonzero(~missing), tuple(refused[row] for row in sorted(refused))


def from_arrow(column: pa.Array) -> np.ndarray[Any, Any]:
    """A column as a NumPy array of shape (rows,), or (rows, width) for lists of one length.

    Numbers keep their dtype and a missing float is NaN. Text, and anything else with or without
    missing values, is an array of Python objects (`str`, `int`, `list`, …) with None for null.
    """
    kind = column.type
    if pa.types.is_fixed_size_list(kind) and is_number(kind.value_type):
        flat = column.flatten()
        if not column.null_count and not flat.null_count:
            return np.reshape(flat.to_numpy(zero_copy_only=False), (len(column), kind.list_size))
    if is_number(kind) and (not column.null_count or pa.types.is_floating(kind)):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    objects = np.empty(len(column), dtype=object)
    objects[:] = column.to_pylist()
    return objects


def to_arrow(values: Any, rows: int) -> pa.Array:
    """Results of one column as Arrow: (rows,) numbers or text, (rows, width) fixed-size lists.

    `RowError` where there are not `rows` values; what fits no type raises as Arrow raises.
    """
    if isinstance(values, (str, bytes)):
        kind = type(values).__name__
        raise RowError(
            "WRONG_RESULTS", f"the model gave a single {kind}, not a list or array of one per row"
        )
    if isinstance(values, np.ndarray) and values.ndim > 1:
        return _fixed_lists(values, rows)
    if len(values) != rows:
        raise RowError(
            "WRONG_RESULTS", f"the model gave {len(values)} results for {rows} rows, not one each"
        )
    return pa.array(values)


def _fixed_lists(values: np.ndarray[Any, Any], rows: int) -> pa.Array:
    if values.shape[0] != rows:
        raise RowError(
            "WRONG_RESULTS",
            f"the model gave {values.shape[0]} results for {rows} rows, not one each",
        )
    column = pa.array(np.ascontiguousarray(values).reshape(-1))
    for width in reversed(values.shape[1:]):
        column = pa.FixedSizeListArray.from_arrays(column, width)
    return column
