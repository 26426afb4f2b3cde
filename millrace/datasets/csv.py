"""CSV and TSV after RFC 4180, with a header, plain or compressed."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa

from millrace.datasets import csv_columns
from millrace.datasets.base import Layout, Rows, RowWriter
from millrace.datasets.compression import decoded
from millrace.datasets.csv_header import Header, read_header
from millrace.datasets.csv_records import (
    has_quoted_newline,
    records,
    split_records,
    unclosed_quote,
    whole_lines,
    whole_records,
)
from millrace.datasets.csv_writer import CsvWriter
from millrace.datasets.lines import cut
from millrace.datasets.records import MAX_RECORD, Fault, Parsed, encoding_fault, excerpt, number
from millrace.datasets.sample import SAMPLE, empty, take
from millrace.datasets.schema import require_columns
from millrace.datasets.splicing import Turns, columns_differ, interleave
from millrace.storage.base import InputStream
from millrace.storage.os_errors import translated

# The library's own limit would refuse any field over 128 KiB; ours is the length of the record.
csv.field_size_limit(MAX_RECORD + 1)


class Csv:
    """Comma-separated values. With `multiline` any field may hold newlines, and each file is one
    block; without it a file is divisible unless its first 1 MiB holds a quoted newline.
    """

    suffix = ".csv"
    typed = False
    delimiter = ","

    def __init__(self, multiline: bool = False, max_line: int = MAX_RECORD) -> None:
        self._multiline = multiline
        self._max_line = max_line

    def inspect(self, source: InputStream, name: str) -> Layout:
        sample = take(source, name, self._max_line)
        content = sample.content[: whole_records(sample.content)]
        if sample.whole and content != sample.content:
            raise unclosed_quote()
        header = read_header(decoded(source), self.delimiter, self._max_line)
        raw = split_records(0, content).content[1:]
        if sample.whole and not any(record.strip() for record in raw):
            raise empty(name)
        rows, _ = _fields(raw, self.delimiter, len(header.names))
        columns = zip(*(row for row in rows if row), strict=True)
        sampled = list(columns) or [()] * len(header.names)
        fields = map(csv_columns.infer, header.names, sampled)
        schema = pa.schema(list(fields))
        multiline = self._multiline or has_quoted_newline(sample.content)
        note = "quoted newlines: one block" if multiline else ""
        return sample.layout(len(raw), schema, not multiline, note)

    def read(
        self,
        source: InputStream,
        start: int,
        end: int,
        schema: pa.Schema,
        required: Sequence[str] = (),
    ) -> Iterator[Rows]:
        text = decoded(source)
        header = read_header(text, self.delimiter, self._max_line)
        require_columns(required, header.names, "the file")
        whole = start <= header.end and end >= text.size
        multiline = self._multiline or (not whole and self._starts_multiline(text))
        stretches = records(text, max(start, header.end), end, multiline, self._max_line)
        parse = partial(_parse, schema, frozenset(required), header.names, self.delimiter)
        rows = number(stretches, parse, self._max_line)
        return rows if start else chain([_header(header, schema)], rows)

    def writer(self, path: Path, schema: pa.Schema) -> RowWriter:
        return CsvWriter(path, schema, self.delimiter)

    def splice(self, first: Path, second: Path | None, skip: int, turns: Turns, to: Path) -> None:
        with ExitStack() as stack, translated(to):
            sink = stack.enter_context(to.open("wb"))
            ours = whole_lines(stack.enter_context(first.open("rb")))
            sink.write(header := next(ours, b""))
            theirs: Iterator[bytes] = iter(())
            if second is not None:
                theirs = whole_lines(stack.enter_context(second.open("rb")))
                if (other := next(theirs, b"")) != header:
                    raise columns_differ(header.decode().strip(), other.decode().strip())
            interleave(ours, theirs, skip, turns, sink)

    def _starts_multiline(self, text: InputStream) -> bool:
        stretches = (stretch for _, stretch, _ in cut(text, 0, SAMPLE, self._max_line))
        return has_quoted_newline(b"".join(stretches))


def _header(header: Header, schema: pa.Schema) -> Rows:
    """No rows; but the first row does not start where the file does."""
    nothing = np.empty(0, dtype=np.int64)
    batch = pa.RecordBatch.from_pylist([], schema=schema)
    return Rows(batch, nothing, nothing, start=0, end=header.end)


class Tsv(Csv):
    """The same with tabs between the fields."""

    suffix = ".tsv"
    delimiter = "\t"


def _parse(
    schema: pa.Schema,
    required: frozenset[str],
    names: Sequence[str],
    delimiter: str,
    content: list[bytes],
) -> Parsed:
    rows, faults = _fields(content, delimiter, len(names))
    columns = []
    for field in schema:
        at = names.index(field.name) if field.name in names else None
        values = [row[at] if row and at is not None else None for row in rows]
        columns.append(csv_columns.column(field, values, field.name in required, faults))
    return Parsed(pa.RecordBatch.from_arrays(columns, schema=schema), faults)


def _fields(
    content: list[bytes], delimiter: str, width: int
) -> tuple[list[list[str]], dict[int, Fault]]:
    """The fields of each record; no fields at all, and a fault, where it has not `width`."""
    faults: dict[int, Fault] = {}
    rows = _split_fields(content, delimiter, faults)
    for place, row in enumerate(rows):
        if len(row) == width or place in faults:
            continue
        faults[place] = (
            Fault("FIELD_COUNT", f"expected {width} got {len(row)}", excerpt(content[place]))
            if row
            else Fault("BLANK_LINE", "the line is blank")
        )
        rows[place] = []
    return rows, faults


def _split_fields(
    content: list[bytes], delimiter: str, faults: dict[int, Fault]
) -> list[list[str]]:
    try:
        rows = list(
            csv.reader([record.decode() for record in content], delimiter=delimiter, strict=True)
        )
    except (UnicodeDecodeError, csv.Error):
        rows = []
    # Fewer rows than records: a stray quote made the library join some, so take each by itself.
    if len(rows) == len(content):
        return rows
    return [_one(record, delimiter, place, faults) for place, record in enumerate(content)]


def _one(record: bytes, delimiter: str, place: int, faults: dict[int, Fault]) -> list[str]:
    try:
        return next(csv.reader((record.decode(),), delimiter=delimiter, strict=True))
    except UnicodeDecodeError as error:
        faults[place] = encoding_fault(record, error)
    except csv.Error as error:
        faults[place] = Fault("CSV_INVALID", str(error), excerpt(record))
    return []
