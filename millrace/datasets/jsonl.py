"""JSON lines: one object per line, UTF-8, read strictly, plain or compressed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pyarrow as pa

from millrace.datasets.base import Layout, Rows, RowWriter
from millrace.datasets.compression import decoded
from millrace.datasets.json_columns import column, infer
from millrace.datasets.json_parse import parse
from millrace.datasets.jsonl_writer import JsonLinesWriter
from millrace.datasets.lines import lines, split
from millrace.datasets.records import MAX_RECORD, Fault, Parsed, number
from millrace.datasets.sample import SAMPLE, take
from millrace.datasets.splicing import Turns, interleave
from millrace.errors import InvalidInput
from millrace.storage.base import InputStream
from millrace.storage.os_errors import translated


class JsonLines:
    """Rows that are no object, hold a key twice or are no strict JSON are rejects, and so are
    blank lines. `max_line` bounds a row in bytes, `sample` is how many bytes `inspect` looks at.
    """

    suffix = ".jsonl"
    typed = False

    def __init__(self, max_line: int = MAX_RECORD, sample: int = SAMPLE) -> None:
        self._max_line = max_line
        self._sample = sample

    def inspect(self, source: InputStream, name: str) -> Layout:
        sample = take(source, name, self._max_line, self._sample)
        content = split(0, sample.content).content
        parsed = [parse(line) for line in content]
        rows = [row for row in parsed if not isinstance(row, Fault)]
        if not rows or content[0].strip() == b"[":
            raise _no_rows(name, sample.content, parsed[0])
        return sample.layout(len(parsed), infer(rows))

    def read(
        self,
        source: InputStream,
        start: int,
        end: int,
        schema: pa.Schema,
        required: Sequence[str] = (),
    ) -> Iterator[Rows]:
        records = lines(decoded(source), start, end, self._max_line)
        return number(records, partial(_parse, schema, frozenset(required)), self._max_line)

    def writer(self, path: Path, schema: pa.Schema) -> RowWriter:
        return JsonLinesWriter(path)

    def splice(self, first: Path, second: Path | None, skip: int, turns: Turns, to: Path) -> None:
        with ExitStack() as stack, translated(to):
            sink = stack.enter_context(to.open("wb"))
            ours = stack.enter_context(first.open("rb"))
            theirs = stack.enter_context(second.open("rb")) if second is not None else iter(())
            interleave(ours, theirs, skip, turns, sink)


def _parse(schema: pa.Schema, required: frozenset[str], content: list[bytes]) -> Parsed:
    faults: dict[int, Fault] = {}
    rows = []
    for place, line in enumerate(content):
        row = parse(line)
        if isinstance(row, Fault):
            faults[place] = row
            row = {}
        rows.append(row)
    columns = [column(field, rows, field.name in required, faults) for field in schema]
    return Parsed(pa.RecordBatch.from_arrays(columns, schema=schema), faults)


def _no_rows(name: str, content: bytes, first: object) -> InvalidInput:
    reason = first.message if isinstance(first, Fault) else ""
    hint = "write one object per line"
    if content.lstrip().startswith(b"["):
        hint = "it starts like one JSON array; write one object per line, without brackets"
    return InvalidInput("FORMAT_MISMATCH", f"{name} does not look like JSON lines: {reason}", hint)
