"""Plain text: one column ``text``, every line a row, empty lines too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import pyarrow as pa

from millrace.datasets.base import Layout, Rows
from millrace.datasets.compression import decoded
from millrace.datasets.lines import lines, split
from millrace.datasets.records import MAX_RECORD, Fault, Parsed, encoding_fault, number
from millrace.datasets.sample import SAMPLE, take
from millrace.datasets.schema import require_columns
from millrace.storage.base import InputStream

COLUMN = "text"


class Text:
    """Lines of UTF-8, plain or compressed; line ends are no part of the text."""

    def __init__(self, max_line: int = MAX_RECORD, sample: int = SAMPLE) -> None:
        self._max_line = max_line
        self._sample = sample

    def inspect(self, source: InputStream, name: str) -> Layout:
        sample = take(source, name, self._max_line, self._sample)
        rows = len(split(0, sample.content).content)
        return sample.layout(rows, pa.schema([pa.field(COLUMN, pa.string())]))

    def read(
        self,
        source: InputStream,
        start: int,
        end: int,
        schema: pa.Schema,
        required: Sequence[str] = (),
    ) -> Iterator[Rows]:
        require_columns({*schema.names, *required}, (COLUMN,), "a text file")
        records = lines(decoded(source), start, end, self._max_line)
        return number(records, partial(_parse, schema), self._max_line)


def _parse(schema: pa.Schema, content: list[bytes]) -> Parsed:
    raw = pa.array(content, pa.binary())
    faults: dict[int, Fault] = {}
    try:
        text = raw.cast(pa.string())
    except pa.ArrowInvalid:
        valid = [_decode(line, place, faults) for place, line in enumerate(content)]
        text = pa.array(valid, pa.string())
    columns = [text.cast(field.type) for field in schema]
    return Parsed(pa.RecordBatch.from_arrays(columns, schema=schema), faults)


def _decode(line: bytes, place: int, faults: dict[int, Fault]) -> str | None:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        faults[place] = encoding_fault(line, error)
        return None
