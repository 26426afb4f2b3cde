"""Parquet: planned from its footer, read by rows, with flat memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from millrace.datasets.base import Layout, Rows, RowWriter
from millrace.datasets.parquet_columns import fit, plain_schema
from millrace.datasets.parquet_file import decoding, open_parquet, refuse_unreadable
from millrace.datasets.parquet_splice import splice
from millrace.datasets.parquet_writer import ParquetWriter
from millrace.datasets.records import Fault, Parsed, numbered
from millrace.datasets.sample import empty
from millrace.datasets.schema import require_columns
from millrace.datasets.splicing import Turns
from millrace.errors import InvalidInput
from millrace.storage.base import InputStream

BATCH_BYTES = 8 << 20
BATCH_ROWS = 1 << 16


class Parquet:
    """Positions are rows; a cut is cheapest where a row group starts, and allowed anywhere."""

    suffix = ".parquet"
    typed = True

    def inspect(self, source: InputStream, name: str) -> Layout:
        file = open_parquet(source, name)
        footer = file.metadata
        refuse_unreadable(footer, source.size, name)
        if footer.num_rows == 0:
            raise empty(name)
        with decoding(name):
            schema = plain_schema(file.schema_arrow)
        _refuse_duplicates(schema.names, name)
        borders = tuple(start for start in _starts(footer)[:-1] if start < footer.num_rows)
        return Layout(footer.num_rows, True, borders, footer.num_rows, schema)

    def read(
        self,
        source: InputStream,
        start: int,
        end: int,
        schema: pa.Schema,
        required: Sequence[str] = (),
    ) -> Iterator[Rows]:
        file = open_parquet(source, "the file")
        present = file.schema_arrow.names
        require_columns(required, present, "the file")
        wanted = [name for name in schema.names if name in present]
        row = 0
        for position, batch in _batches(file, start, end, wanted):
            parsed = _parse(batch, schema, required)
            positions = np.arange(position, position + batch.num_rows, dtype=np.int64)
            rows = numbered(row, positions, parsed)
            yield replace(rows, start=position, end=position + batch.num_rows)
            row += batch.num_rows

    def writer(self, path: Path, schema: pa.Schema) -> RowWriter:
        return ParquetWriter(path, schema)

    def splice(self, first: Path, second: Path | None, skip: int, turns: Turns, to: Path) -> None:
        splice(first, second, skip, turns, to)


def _refuse_duplicates(columns: Sequence[str], name: str) -> None:
    twice = sorted(column for column, count in Counter(columns).items() if count > 1)
    if twice:
        raise InvalidInput(
            "SCHEMA_MISMATCH",
            f"{name} has more than one column {', '.join(map(repr, twice))}",
            "give every column a name of its own",
        )


def _batches(
    file: pq.ParquetFile, start: int, end: int, columns: list[str]
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The rows ``[start, end)`` as batches of about 8 MiB with the position of each."""
    footer = file.metadata
    starts = _starts(footer)
    groups = [
        group
        for group in range(footer.num_row_groups)
        if starts[group] < end and starts[group + 1] > start
    ]
    if not groups:
        return
    position = starts[groups[0]]
    with decoding("the file"):
        batches = file.iter_batches(
            batch_size=_batch_rows(footer), row_groups=groups, columns=columns, use_threads=False
        )
        for batch in batches:
            first, last = max(start - position, 0), min(end - position, batch.num_rows)
            if first < last:
                yield position + first, batch.slice(first, last - first)
            position += batch.num_rows
            if position >= end:
                return


def _parse(batch: pa.RecordBatch, schema: pa.Schema, required: Sequence[str]) -> Parsed:
    faults: dict[int, Fault] = {}
    columns = []
    for field in schema:
        if field.name in batch.schema.names:
            array = batch.column(field.name)
        else:
            array = pa.nulls(batch.num_rows, field.type)
        columns.append(fit(field, array, field.name in required, faults))
    return Parsed(pa.RecordBatch.from_arrays(columns, schema=schema), faults)


def _starts(footer: pq.FileMetaData) -> list[int]:
    """First row of each row group, and the number of rows."""
    rows = (footer.row_group(group).num_rows for group in range(footer.num_row_groups))
    return list(accumulate(rows, initial=0))


def _batch_rows(footer: pq.FileMetaData) -> int:
    sizes = [footer.row_group(group).total_byte_size for group in range(footer.num_row_groups)]
    return int(max(1, min(BATCH_ROWS, BATCH_BYTES * footer.num_rows // max(1, sum(sizes)))))
