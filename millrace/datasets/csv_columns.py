"""Between the texts of a CSV column and Arrow: which type it has, and which values do not fit.

A number keeps its type only if its text can be had back from it: 007 and +1 are strings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from millrace.datasets.records import Fault
from millrace.datasets.schema import MAJORITY, mixed_field
from millrace.errors import InvalidInput

_INTEGER = r"^(0|-?[1-9][0-9]{0,18})$"
_NUMBER = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$"
_EXACT_IN_DOUBLE = r"^-?[0-9]{1,15}$|[.eE]"


def infer(name: str, values: Sequence[str]) -> pa.Field:
    """int64 or float64 where nearly every value that is not empty says so, else string."""
    filled = [value for value in values if value]
    kinds = (pa.int64(), pa.float64()) if filled else ()
    wrong = {kind: _numbers(pa.array(filled, pa.string()), kind)[1] for kind in kinds}
    for kind in sorted(kinds, key=lambda kind: sum(wrong[kind])):
        right = [text for text, no in zip(filled, wrong[kind], strict=True) if not no]
        exact = pat.is_integer(kind) or _all(_EXACT_IN_DOUBLE, right)
        if exact and len(right) >= MAJORITY * len(filled):
            return pa.field(name, kind) if right == filled else mixed_field(name, kind)
    return pa.field(name, pa.string())


def is_number(text: str) -> bool:
    return re.match(_NUMBER, text) is not None


def column(
    field: pa.Field, values: Sequence[str | None], required: bool, faults: dict[int, Fault]
) -> pa.Array:
    """One column, shape (len(values),); null, with a fault, for what does not fit.

    Strings are exact. In a numeric column an empty value is null, or FIELD_MISSING where the column
    is `required`; what is no such number is WRONG_TYPE. None stands for rows faulty already.
    """
    texts = pa.array(values, pa.string())
    if pat.is_string(field.type) or pat.is_large_string(field.type):
        return texts.cast(field.type)
    if not (pat.is_integer(field.type) or pat.is_floating(field.type)):
        raise InvalidInput(
            "UNSUPPORTED_TYPE",
            f"column {field.name!r}: CSV cannot be read as {field.type}",
            "use int64, float64 or string",
        )
    numbers, wrong = _numbers(texts, field.type)
    for place in _true(wrong):
        message = f"{field.name!r} should be {field.type}, got {str(values[place])[:40]!r}"
        faults.setdefault(place, Fault("WRONG_TYPE", message))
    for place in _true(pc.equal(texts, "").to_pylist()) if required else ():
        faults.setdefault(place, Fault("FIELD_MISSING", f"no value for {field.name!r}"))
    return numbers


def _numbers(texts: pa.Array, kind: pa.DataType) -> tuple[pa.Array, Sequence[bool]]:
    """The numbers in `texts`, null for anything else, and which texts are wrong: neither a number
    nor empty.
    """
    pattern = _INTEGER if pat.is_integer(kind) else _NUMBER
    shaped = pc.if_else(pc.match_substring_regex(texts, pattern), texts, None)
    try:
        numbers = shaped.cast(kind)
    except pa.ArrowInvalid:
        numbers = pa.array([_in_range(text, kind) for text in shaped.to_pylist()], kind)
    if pat.is_floating(kind):
        numbers = pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, kind))
    wrong = pc.and_(numbers.is_null(), pc.not_equal(texts, ""))
    return numbers, wrong.fill_null(False).to_pylist()


def _in_range(text: str | None, kind: pa.DataType) -> int | None:
    try:
        return None if text is None else pa.scalar(int(text), kind).as_py()
    except (OverflowError, pa.ArrowInvalid):
        return None


def _all(pattern: str, texts: Sequence[str]) -> bool:
    return all(re.search(pattern, text) for text in texts)


def _true(flags: Sequence[bool]) -> Iterator[int]:
    return (place for place, flag in enumerate(flags) if flag)
