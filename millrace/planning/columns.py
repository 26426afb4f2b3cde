"""The columns of a job that reads many files: pure comparison of what each of them has."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.types as pat

from millrace.datasets.base import Layout
from millrace.datasets.schema import is_json, is_mixed, mixed_field
from millrace.errors import InvalidInput
from millrace.types import Input

_OPEN = frozenset({"jsonl"})
"""Formats in which each row says by itself which columns it has."""


def common_schema(surveyed: Sequence[tuple[Input, Layout]]) -> pa.Schema:
    """One schema that all files are read with, in the order in which columns first appear.

    JSON lines may lack columns that others have, other files may only order them differently.
    Raises `InvalidInput` for files of several formats, with other columns, or with one name twice.
    """
    (first, layout), *others = surveyed
    fields = {field.name: field for field in layout.schema}
    for each, its in surveyed:
        _check_distinct(each, its.schema.names)
        _check_format(each, first)
    for each, its in others:
        if first.format not in _OPEN and set(its.schema.names) != set(fields):
            raise _other_columns(each, its.schema, first, layout.schema)
        for field in its.schema:
            fields[field.name] = _merged(fields.get(field.name, field), field, first.format)
    return pa.schema(list(fields.values()))


def _merged(first: pa.Field, other: pa.Field, form: str) -> pa.Field:
    """The type of the first file wins; where another has other values, the column is mixed."""
    if first.equals(other, check_metadata=True) or is_json(first) or form == "parquet":
        return first
    if not first.type.equals(other.type) and _is_number(first) and _is_number(other):
        wide = pa.float64()
        mixed = is_mixed(first) or is_mixed(other)
        return mixed_field(first.name, wide) if mixed else pa.field(first.name, wide)
    return mixed_field(first.name, first.type)


def _is_number(field: pa.Field) -> bool:
    return bool(pat.is_integer(field.type) or pat.is_floating(field.type))


def _check_distinct(each: Input, names: Sequence[str]) -> None:
    if len(set(names)) == len(names):
        return
    twice = sorted({name for name in names if names.count(name) > 1})
    raise InvalidInput(
        "SCHEMA_MISMATCH",
        f"{each.uri} has more than one column {', '.join(map(repr, twice))}",
        "give every column a name of its own",
    )


def _check_format(each: Input, first: Input) -> None:
    if each.format != first.format:
        raise InvalidInput(
            "MIXED_FORMATS",
            f"{each.uri} is {each.format}, but {first.uri} is {first.format}",
            "give files of one format to one job",
        )


def _other_columns(other: Input, its: pa.Schema, first: Input, columns: pa.Schema) -> InvalidInput:
    return InvalidInput(
        "SCHEMA_MISMATCH",
        f"{other.uri} has the columns {', '.join(its.names)}, "
        f"but {first.uri} has {', '.join(columns.names)}",
        "give files with the same columns to one job",
    )
