"""Record batches as CSV that a spreadsheet may open without running any of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv
import pyarrow.types as pat

from millrace.datasets.json_text import json_texts
from millrace.storage.os_errors import translated

_FORMULA = r"^[=+\-@\t\r]"
_NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


class CsvWriter:
    """Strings that a spreadsheet would take for a formula, and not for a plain number such as -5,
    get a ``'`` in front; nested values become JSON texts; NaN and infinities are empty, as null is.
    """

    def __init__(self, path: Path, schema: pa.Schema, delimiter: str) -> None:
        self._path = path
        self._delimiter = delimiter
        with translated(path):
            self._sink = pa.OSFile(str(path), "wb")
        self._put(
            [pa.array([], pa.string()) for _ in schema], map(_escape_name, schema.names), True
        )

    def write(self, batch: pa.RecordBatch) -> None:
        self._put([_written(array) for array in batch.columns], batch.schema.names, False)

    def close(self) -> None:
        with translated(self._path):
            self._sink.close()

    def _put(self, columns: list[pa.Array], names: Iterable[str], header: bool) -> None:
        batch = pa.RecordBatch.from_arrays(columns, names=list(names))
        options = arrow_csv.WriteOptions(delimiter=self._delimiter, include_header=header)
        with translated(self._path):
            arrow_csv.write_csv(batch, self._sink, options)


def _written(array: pa.Array) -> pa.Array:
    kind = array.type
    if pat.is_dictionary(kind):
        return _written(array.cast(kind.value_type).cast(pa.string()))
    if pat.is_nested(kind) or pat.is_binary(kind):
        return pa.array(json_texts(array), pa.string())
    if pat.is_floating(kind):
        return pc.if_else(pc.is_finite(array), array, pa.scalar(None, kind))
    if pat.is_string(kind) or pat.is_large_string(kind):
        return _escape(array)
    return array


def _escape(texts: pa.Array) -> pa.Array:
    dangerous = pc.and_not(
        pc.match_substring_regex(texts, _FORMULA), pc.match_substring_regex(texts, _NUMBER)
    )
    if not pc.any(dangerous).as_py():
        return texts
    mark = pa.scalar("'", texts.type)
    return pc.if_else(
        dangerous, pc.binary_join_element_wise(mark, texts, pa.scalar("", texts.type)), texts
    )


def _escape_name(name: str) -> str:
    return str(_escape(pa.array([name]))[0].as_py())
