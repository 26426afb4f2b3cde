"""Two Parquet files made one: the rows of both, in one schema."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from millrace.datasets.parquet_file import decoding
from millrace.datasets.parquet_writer import ParquetWriter
from millrace.datasets.splicing import Turns, columns_differ, too_few

BATCH_BYTES = 8 << 20
BATCH_ROWS = 1 << 13


def splice(first: Path, second: Path | None, skip: int, turns: Turns, to: Path) -> None:
    """Rows of `first` and `second` by turns; memory stays flat.

    `InvalidInput` where their columns differ, or one has too few rows.
    """
    with ExitStack() as stack:
        files = [stack.enter_context(_opened(path)) for path in (first, second) if path]
        schema = joint([file.schema_arrow for file in files])
        most = min(_batch_rows(file) for file in files)
        ours, *rest = (_Rows(file, schema, most) for file in files)
        ours.skip(skip)
        sink = ParquetWriter(to, schema)
        with closing(sink):
            for lot in _lots(turns, most):
                counts = np.array(lot, dtype=np.int64).reshape(-1, 2)
                pieces = [ours.take(int(counts[:, 0].sum()))]
                pieces += [each.take(int(counts[:, 1].sum())) for each in rest]
                for batch in pa.concat_tables(pieces).take(_order(counts)).to_batches():
                    sink.write(batch)


def joint(schemas: list[pa.Schema]) -> pa.Schema:
    """The schema of a file of rows of all; a column of nulls takes any type.

    `InvalidInput` COLUMNS_CHANGED where names or types differ otherwise.
    """
    first, *others = schemas
    for other in others:
        if other.names != first.names:
            raise columns_differ(", ".join(first.names), ", ".join(other.names))
        fields = [
            theirs if pa.types.is_null(ours.type) else ours
            for ours, theirs in zip(first, other, strict=True)
        ]
        for field, theirs in zip(fields, other, strict=True):
            if theirs.type != field.type and not pa.types.is_null(theirs.type):
                kinds = (f"{name.name} {name.type}" for name in (field, theirs))
                raise columns_differ(*kinds)
        first = pa.schema(fields)
    return first


class _Rows:
    """The rows of a file, taken from its start on."""

    def __init__(self, file: pq.ParquetFile, schema: pa.Schema, most: int) -> None:
        self._batches: Iterator[pa.RecordBatch] = file.iter_batches(most, use_threads=False)
        self._schema = schema
        self._rest: pa.Table = schema.empty_table()

    def skip(self, count: int) -> None:
        while count > 0:
            self._fill(1)
            here = min(count, self._rest.num_rows)
            self._rest = self._rest.slice(here)
            count -= here

    def take(self, count: int) -> pa.Table:
        self._fill(count)
        taken, self._rest = self._rest.slice(0, count), self._rest.slice(count)
        return taken

    def _fill(self, count: int) -> None:
        pieces, rows = [self._rest], self._rest.num_rows
        while rows < count:
            with decoding("a part"):
                batch = next(self._batches, None)
            if batch is None:
                raise too_few(count - rows)
            pieces.append(pa.Table.from_batches([batch]).cast(self._schema))
            rows += batch.num_rows
        self._rest = pa.concat_tables(pieces)


def _lots(turns: Turns, most: int) -> Iterator[list[tuple[int, int]]]:
    """The same turns in lots of at most `most` rows."""
    lot: list[tuple[int, int]] = []
    room = most
    for left in turns:
        ours, theirs = left
        while ours or theirs:
            now = (min(ours, room), min(theirs, room - min(ours, room)))
            lot.append(now)
            ours, theirs, room = ours - now[0], theirs - now[1], room - sum(now)
            if not room:
                yield lot
                lot, room = [], most
    if lot:
        yield lot


def _order(counts: np.ndarray[tuple[int, int], np.dtype[np.int64]]) -> pa.Array:
    """Where each row stands in the rows of the first file, followed by those of the second."""
    whose = np.repeat(np.tile([0, 1], len(counts)), counts.ravel())
    order = np.empty(len(whose), dtype=np.int64)
    ours = int(counts[:, 0].sum())
    order[whose == 0] = np.arange(ours)
    order[whose == 1] = np.arange(ours, len(whose))
    return pa.array(order)


def _opened(path: Path) -> pq.ParquetFile:
    with decoding("a part"):
        return pq.ParquetFile(
            path,
            pre_buffer=False,
            page_checksum_verification=True,
            arrow_extensions_enabled=False,
        )


def _batch_rows(file: pq.ParquetFile) -> int:
    footer = file.metadata
    size = sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
    return int(max(1, min(BATCH_ROWS, BATCH_BYTES * footer.num_rows // max(1, size))))
