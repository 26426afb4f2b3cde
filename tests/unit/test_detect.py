"""The format of a file: asked for, by suffix, by first bytes."""

from __future__ import annotations

import pytest

from millrace import catalog, datasets
from millrace.errors import InvalidInput
from tests.streams import Bytes


@pytest.mark.parametrize(
    ("name", "content", "asked", "found"),
    [
        ("file:///x/rows.jsonl", b"", None, "jsonl"),
        ("rows.ndjson", b"", None, "jsonl"),
        ("ROWS.CSV", b"", None, "csv"),
        ("rows.tsv.gz", b"", None, "tsv"),
        ("rows.jsonl.zst", b"", None, "jsonl"),
        ("rows.txt", b"", None, "text"),
        ("rows.parquet", b"", None, "parquet"),
        ("rows.txt", b"", "jsonl", "jsonl"),
        ("rows", b"PAR1", None, "parquet"),
        ("rows", b'\n {"a": 1}', None, "jsonl"),
    ],
)
def test_a_format_is_found(name: str, content: bytes, asked: str | None, found: str) -> None:
    assert datasets.detect(name, Bytes(content), asked) == found


@pytest.mark.parametrize(("name", "asked"), [("rows", None), ("rows.xml", None), ("x.csv", "xml")])
def test_an_unknown_format_lists_those_that_there_are(name: str, asked: str | None) -> None:
    with pytest.raises(InvalidInput, match="UNKNOWN_FORMAT") as refusal:
        datasets.detect(name, Bytes(b"anything"), asked)
    assert all(known in refusal.value.hint for known in catalog.FORMATS)


def test_options_reach_the_formats_that_have_them() -> None:
    content = b"a,b\n1,2\n"
    csv = datasets.for_name("csv", multiline=True)
    assert not csv.inspect(Bytes(content), "x").divisible
    assert datasets.for_name("text", multiline=True).inspect(Bytes(content), "x").divisible
