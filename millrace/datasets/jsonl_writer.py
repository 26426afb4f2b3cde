"""Record batches as JSON lines: strict UTF-8, one object per row, NaN and infinities as null."""

from __future__ import annotations

from pathlib import Path

import orjson
import pyarrow as pa

from millrace.datasets.json_text import OPTIONS, json_values, plain
from millrace.storage.os_errors import translated

_ROW = OPTIONS | orjson.OPT_APPEND_NEWLINE


class JsonLinesWriter:
    """Floats print as short as their own width allows: float32 0.1 is ``0.1``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with translated(path):
            self._sink = pa.OSFile(str(path), "wb")

    def write(self, batch: pa.RecordBatch) -> None:
        content = json_lines(batch)
        with translated(self._path):
            self._sink.write(content)

    def close(self) -> None:
        with translated(self._path):
            self._sink.close()


def json_lines(batch: pa.RecordBatch) -> bytes:
    """The rows of a batch, one object per line; JSON-text columns go in as they are."""
    names = batch.schema.names
    columns = [
        json_values(field, array) for field, array in zip(batch.schema, batch.columns, strict=True)
    ]
    rows = (dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True))
    return b"".join(orjson.dumps(row, default=plain, option=_ROW) for row in rows)
