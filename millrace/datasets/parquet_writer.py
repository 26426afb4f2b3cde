"""Record batches as Parquet, in row groups of a size that readers like."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as pat

from millrace.storage.os_errors import translated

GROUP_BYTES = 32 << 20
GROUP_ROWS = 1 << 17


class ParquetWriter:
    """Collects batches up to about 32 MiB or 131,072 rows and writes each lot as one row group."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._schema = schema
        self._batches: list[pa.RecordBatch] = []
        with translated(path):
            self._sink = pa.OSFile(str(path), "wb")
            self._writer = pq.ParquetWriter(
                self._sink,
                schema,
                compression="snappy",
                use_dictionary=[field.name for field in schema if pat.is_string(field.type)],
                write_page_checksum=True,
            )

    def write(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        if (
            sum(each.nbytes for each in self._batches) >= GROUP_BYTES
            or sum(each.num_rows for each in self._batches) >= GROUP_ROWS
        ):
            self._flush()

    def close(self) -> None:
        self._flush()
        with translated(self._path):
            self._writer.close()
            self._sink.close()

    def _flush(self) -> None:
        if self._batches:
            table = pa.Table.from_batches(self._batches, self._schema)
            with translated(self._path):
                self._writer.write_table(table, row_group_size=GROUP_ROWS)
            self._batches.clear()
