"""Which columns an order reads, which of them go along into the results, and under what names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import assert_never

import pyarrow as pa

from millrace.datasets.schema import is_mixed, json_field
from millrace.errors import InvalidInput
from millrace.spec import JobSpec
from millrace.types import Join

_DELIMITED = frozenset({"csv", "tsv"})


@dataclass(frozen=True, slots=True)
class Projection:
    """Columns by their part in the job, all in the order of the input."""

    used: tuple[str, ...]
    """What the engine gets, in the order that it asked for."""
    carried: tuple[str, ...]
    """What stands in the results beside the model's columns."""
    reading: pa.Schema
    """What is read: both, with the types to read them as."""
    wanted: tuple[str, ...] | None
    """The model's columns that were asked for; all where none."""
    passthrough: bool
    """The engine's columns are the input's own, so a carried one is not written twice."""

    def results(self, model: pa.Schema) -> pa.Schema:
        """The columns of a part, carried ones first.

        `InvalidInput` where a wanted column is not among those of `model`, or one has the name of
        a carried column.
        """
        names = model.names if self.wanted is None else self.wanted
        missing = [name for name in names if name not in model.names]
        if missing:
            raise InvalidInput(
                "OUTPUT_COLUMN_MISSING",
                f"the model has no column {', '.join(map(repr, missing))}",
                f"choose --output-columns from: {', '.join(model.names)}",
            )
        if self.passthrough:
            names = [name for name in names if name not in self.carried]
        clash = [name for name in names if name in self.carried]
        if clash:
            raise InvalidInput(
                "COLUMN_CLASH",
                f"both the input and the model have a column {', '.join(map(repr, clash))}",
                "use --join key or none, choose --output-columns, or rename the input's column",
            )
        fields = [self.reading.field(name) for name in self.carried]
        return pa.schema([*fields, *(model.field(name) for name in names)])


def project(
    schema: pa.Schema,
    spec: JobSpec,
    used: tuple[str, ...],
    formats: Iterable[str],
    passthrough: bool = False,
) -> Projection:
    """Choose columns of the pinned `schema`; `formats` are those of the order's inputs.

    A carried column that the engine does not read is taken over word for word where the results
    have the input's format, or where not all of its values have its type. `InvalidInput` where
    there is no column of the key's name.
    """
    carried = _carried(schema, spec)
    formats = set(formats)
    fields = []
    for field in schema:
        if field.name in used:
            fields.append(field)
        elif field.name in carried:
            fields.append(_verbatim(field, formats, spec.output_format))
    return Projection(used, carried, pa.schema(fields), spec.output_columns, passthrough)


def _carried(schema: pa.Schema, spec: JobSpec) -> tuple[str, ...]:
    match spec.join:
        case Join.NONE:
            return ()
        case Join.INPUT:
            return tuple(schema.names)
        case Join.KEY:
            assert spec.key is not None
            if spec.key not in schema.names:
                raise InvalidInput(
                    "KEY_MISSING",
                    f"the input has no column {spec.key!r} to join by",
                    f"its columns are: {', '.join(schema.names)}",
                )
            return (spec.key,)
        case never:
            assert_never(never)


def _verbatim(field: pa.Field, formats: set[str], output_format: str) -> pa.Field:
    if formats == {"jsonl"} and (output_format == "jsonl" or is_mixed(field)):
        return json_field(field.name)
    if formats <= _DELIMITED and (output_format == "csv" or is_mixed(field)):
        return pa.field(field.name, pa.string())
    return field
