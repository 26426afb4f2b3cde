"""Arrow columns as JSON: values in the shape that orjson writes fastest."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from millrace.datasets.schema import is_json

OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def json_texts(array: pa.Array) -> list[str | None]:
    """Each value of a column as compact JSON text; null stays null."""
    values = json_values(pa.field("value", array.type), array)
    return [
        None if value is None else orjson.dumps(value, default=plain, option=OPTIONS).decode()
        for value in values
    ]


def json_values(field: pa.Field, array: pa.Array) -> Iterable[Any]:
    """One value per row, in the shape that orjson writes fastest."""
    kind = array.type
    if is_json(field):
        texts = array.to_pylist()
        return [None if text is None else orjson.Fragment(text) for text in texts]
    if pat.is_floating(kind):
        return _with_nulls(
            array, array.to_numpy(zero_copy_only=False).astype(kind.to_pandas_dtype())
        )
    if _is_vector(kind):
        return _vectors(array)
    if pat.is_temporal(kind):
        array = pc.cast(array, pa.string())
    values: list[Any] = array.to_pylist()
    return values


def _is_vector(kind: pa.DataType) -> bool:
    nested = pat.is_list(kind) or pat.is_large_list(kind) or pat.is_fixed_size_list(kind)
    return bool(nested) and (pat.is_floating(kind.value_type) or pat.is_integer(kind.value_type))


def _vectors(array: pa.Array) -> Iterable[Any]:
    """Lists of numbers as views into one NumPy array; exact types keep their short notation."""
    if array.null_count or array.values.null_count:
        return _slow_vectors(array)
    flat = array.flatten().to_numpy(zero_copy_only=False)
    if pat.is_fixed_size_list(array.type):
        return list(flat.reshape(len(array), array.type.list_size))
    ends = pc.cumulative_sum(pc.list_value_length(array)).to_pylist()
    return [flat[first:end] for first, end in zip([0, *ends], ends, strict=False)]


def _slow_vectors(array: pa.Array) -> Iterable[Any]:
    return [
        None if not item.is_valid else list(_with_nulls(item.values, item.values.to_numpy(False)))
        for item in array
    ]


def _with_nulls(array: pa.Array, values: Any) -> Iterable[Any]:
    if not array.null_count:
        return list(values)
    valid = array.is_valid().to_pylist()
    return [value if there else None for value, there in zip(values, valid, strict=True)]


def plain(value: Any) -> Any:
    """What JSON has no type for: bytes as base64, decimals as text."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
