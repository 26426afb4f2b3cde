"""Parquet columns as the plan wants them: plain types, bad rows set apart."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from millrace.datasets.json_text import json_texts
from millrace.datasets.records import Fault
from millrace.datasets.schema import is_json


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The schema without extension types, dictionaries and metadata."""
    return pa.schema([pa.field(field.name, _plain(field.type)) for field in schema])


def fit(field: pa.Field, array: pa.Array, required: bool, faults: dict[int, Fault]) -> pa.Array:
    """One column cast to `field`, shape unchanged; null, with a fault, for what does not fit.

    Codes: FIELD_MISSING for null in a `required` column, WRONG_TYPE, ENCODING.
    """
    array = _stored(array)
    if required and array.null_count:
        _fault_where(array.is_null(), faults, Fault("FIELD_MISSING", f"{field.name!r} is null"))
    if is_json(field) and not pat.is_string(array.type):
        return pa.array(json_texts(array), field.type)
    array = _valid_text(field.name, array, faults)
    if array.type == field.type:
        return array
    try:
        return array.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return _cast_each(field, array, faults)


def _plain(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(kind.storage_type)
    if pat.is_dictionary(kind):
        return _plain(kind.value_type)
    return kind


def _stored(array: pa.Array) -> pa.Array:
    if isinstance(array, pa.ExtensionArray):
        return _stored(array.storage)
    if pat.is_dictionary(array.type):
        array.validate(full=True)
        return _stored(array.dictionary_decode())
    return array


def _valid_text(name: str, array: pa.Array, faults: dict[int, Fault]) -> pa.Array:
    """Parquet promises UTF-8 and does not check it."""
    if not (pat.is_string(array.type) or pat.is_large_string(array.type)):
        if pat.is_nested(array.type):
            array.validate(full=True)
        return array
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        raw = array.cast(pa.large_binary())
        valid = pa.array([_is_utf8(value.as_py()) for value in raw])
        fault = Fault("ENCODING", f"{name!r} is not valid UTF-8")
        _fault_where(pc.invert(valid), faults, fault)
        return pc.if_else(valid, raw, pa.scalar(None, raw.type)).cast(array.type)
    return array


def _is_utf8(value: bytes | None) -> bool:
    try:
        (value or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def _cast_each(field: pa.Field, array: pa.Array, faults: dict[int, Fault]) -> pa.Array:
    cells = []
    for place in range(len(array)):
        cell = array.slice(place, 1)
        try:
            cells.append(cell.cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
            message = f"{field.name!r} should be {field.type}, got {str(cell[0])[:40]}"
            faults.setdefault(place, Fault("WRONG_TYPE", message))
            cells.append(pa.nulls(1, field.type))
    return pa.concat_arrays(cells)


def _fault_where(flags: pa.Array, faults: dict[int, Fault], fault: Fault) -> None:
    for place in pc.indices_nonzero(flags).to_pylist():
        faults.setdefault(place, fault)
