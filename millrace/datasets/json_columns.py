"""Between JSON values and Arrow columns: which type a column has, and which values do not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.types as pat

from millrace.datasets.records import Fault
from millrace.datasets.schema import MAJORITY, is_json, json_field, mixed_field
from millrace.errors import InvalidInput

Faults = dict[int, Fault]

_NUMBERS = {int, float}
_NONE = type(None)
_BY_PREFERENCE: tuple[tuple[pa.DataType, set[type]], ...] = (
    (pa.string(), {str}),
    (pa.bool_(), {bool}),
    (pa.int64(), {int}),
    (pa.float64(), _NUMBERS),
    (pa.list_(pa.float64()), {list}),
)


def infer(rows: Sequence[dict[str, Any]]) -> pa.Schema:
    """The columns of sampled rows, in order of appearance: bool, int64 (uint64 where it takes
    that), float64, string, lists of numbers as list<double>, and everything else as JSON text; only
    nulls count as string. A few values of other types make a column mixed, not JSON.
    """
    values: dict[str, list[Any]] = {}
    for row in rows:
        for name, value in row.items():
            values.setdefault(name, []).append(value)
    return pa.schema([_field(name, column) for name, column in values.items()])


def column(
    field: pa.Field, rows: Sequence[dict[str, Any]], required: bool, faults: Faults
) -> pa.Array:
    """One column of parsed rows, shape (len(rows),); null, with a fault, for what does not fit.

    A missing key and null are the same: FIELD_MISSING where the column is `required`, else null.
    WRONG_TYPE for a value of another type; an int is accepted for a float, a bool never for an int.
    """
    name = field.name
    values = [row.get(name) for row in rows]
    if required and None in values:
        for place, value in enumerate(values):
            if value is None:
                faults.setdefault(place, Fault("FIELD_MISSING", f"no value for {name!r}"))
    if is_json(field):
        return pa.array(_texts(values, name, faults), field.type)
    fits, convert = _rules(field)
    if not fits(values):
        values = _without_misfits(field, values, fits, faults)
    return convert(values)


def _texts(values: list[Any], name: str, faults: Faults) -> list[str | None]:
    try:
        return [None if value is None else orjson.dumps(value).decode() for value in values]
    except orjson.JSONEncodeError:
        return [_text(value, name, place, faults) for place, value in enumerate(values)]


def _text(value: Any, name: str, place: int, faults: Faults) -> str | None:
    try:
        return None if value is None else orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        faults.setdefault(place, Fault("JSON_INVALID", f"{name!r} is nested too deeply"))
        return None


def _without_misfits(
    field: pa.Field, values: list[Any], fits: Callable[[list[Any]], bool], faults: Faults
) -> list[Any]:
    good = []
    for place, value in enumerate(values):
        if not fits([value]):
            message = f"{field.name!r} should be {field.type}, got {_called(value)}"
            faults.setdefault(place, Fault("WRONG_TYPE", message))
            value = None
        good.append(value)
    return good


def _called(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return names.get(type(value), f"the number {str(value)[:40]}")


def _rules(field: pa.Field) -> tuple[Callable[[list[Any]], bool], Callable[[list[Any]], pa.Array]]:
    """Whether values fit a type, and how they become an array once they do."""
    kind = field.type
    if pat.is_boolean(kind):
        return _of({bool}), lambda values: pa.array(values, kind)
    if pat.is_integer(kind):
        bounds = np.iinfo(kind.to_pandas_dtype())
        return _ints(int(bounds.min), int(bounds.max)), lambda values: pa.array(values, kind)
    if pat.is_floating(kind):
        return _of(_NUMBERS), lambda values: pa.array(_floats(values), kind)
    if pat.is_string(kind) or pat.is_large_string(kind):
        return _of({str}), lambda values: pa.array(values, kind)
    if (pat.is_list(kind) or pat.is_large_list(kind)) and pat.is_floating(kind.value_type):
        return _number_lists, lambda values: pa.array(_float_lists(values), kind)
    raise InvalidInput(
        "UNSUPPORTED_TYPE",
        f"column {field.name!r}: JSON lines cannot be read as {kind}",
        "use bool, int64, float64, string or list<double>",
    )


def _of(kinds: set[type]) -> Callable[[list[Any]], bool]:
    allowed = kinds | {_NONE}
    return lambda values: set(map(type, values)) <= allowed


def _ints(least: int, most: int) -> Callable[[list[Any]], bool]:
    are_ints = _of({int})

    def fits(values: list[Any]) -> bool:
        return are_ints(values) and all(
            least <= value <= most for value in values if value is not None
        )

    return fits


_INT64, _UINT64 = _ints(-(1 << 63), (1 << 63) - 1), _ints(0, (1 << 64) - 1)


def _number_lists(values: list[Any]) -> bool:
    if not set(map(type, values)) <= {list, _NONE}:
        return False
    elements: Iterable[Any] = chain.from_iterable(value for value in values if value)
    return set(map(type, elements)) <= _NUMBERS


def _floats(values: list[Any]) -> list[float | None]:
    return [None if value is None else float(value) for value in values]


def _float_lists(values: list[Any]) -> list[list[float] | None]:
    return [None if value is None else list(map(float, value)) for value in values]


def _field(name: str, values: list[Any]) -> pa.Field:
    kinds = Counter(map(type, values))
    del kinds[_NONE]
    fitting = [sum(kinds[each] for each in members) for _, members in _BY_PREFERENCE]
    most = max(fitting)
    kind, members = _BY_PREFERENCE[fitting.index(most)]
    lists = [value for value in values if isinstance(value, list)] if members == {list} else []
    if most < kinds.total() * MAJORITY or not _number_lists(lists):
        return json_field(name)
    if pat.is_integer(kind) and not _INT64(integers := [v for v in values if type(v) is int]):
        if not _UINT64(integers):
            return json_field(name)
        kind = pa.uint64()
    return pa.field(name, kind) if most == kinds.total() else mixed_field(name, kind)
