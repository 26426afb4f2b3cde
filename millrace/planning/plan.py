"""One job's plan: pinned inputs, the schema of its rows, and the chunks that they are cut into."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from millrace import catalog
from millrace.datasets.base import Layout
from millrace.errors import InvalidInput
from millrace.planning.columns import common_schema
from millrace.planning.splitter import cut
from millrace.planning.survey import survey
from millrace.spec import JobSpec
from millrace.types import Input, PlannedChunk

CHUNK_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Plan:
    """What a job will read and in which blocks; `layouts` goes with `inputs`."""

    inputs: tuple[Input, ...]
    layouts: tuple[Layout, ...]
    schema: pa.Schema
    chunks: tuple[PlannedChunk, ...]
    notes: tuple[str, ...]


def plan_of(spec: JobSpec, *, slots: int) -> Plan:
    """Plan without touching the database; `InvalidInput` says what is wrong with the input."""
    surveyed = survey(spec)
    schema = common_schema(surveyed)
    check_columns(spec, schema)
    chunks = cut(
        surveyed,
        rows=spec.chunk_rows or catalog.engine(spec.model.engine).chunk_rows,
        bytes=spec.chunk_bytes or CHUNK_BYTES,
        slots=slots,
        fixed=spec.chunk_rows is not None or spec.chunk_bytes is not None,
    )
    return Plan(
        inputs=tuple(each for each, _ in surveyed),
        layouts=tuple(layout for _, layout in surveyed),
        schema=schema,
        chunks=tuple(chunks),
        notes=tuple(sorted({layout.note for _, layout in surveyed if layout.note})),
    )


def check_columns(spec: JobSpec, schema: pa.Schema) -> None:
    """The columns that the job names are there; `InvalidInput` names those that are."""
    named = [("--key", spec.key)] if spec.key else []
    named += [("--input-columns", name) for name in spec.input_columns or ()]
    for option, name in named:
        if name not in schema.names:
            raise InvalidInput(
                "SCHEMA_MISMATCH",
                f"{option}: {spec.input} has no column {name!r}",
                f"its columns are {', '.join(schema.names)}",
            )
