"""Plain text: every line is a row."""

from __future__ import annotations

import pyarrow as pa
import pytest

from millrace.datasets.text import Text
from millrace.errors import InvalidInput
from tests.streams import Bytes, accepted, read, rejects


def test_every_line_is_a_row_also_an_empty_one() -> None:
    found = accepted(read(Text(), b"\xef\xbb\xbfa\r\n\n  b \nlast"))
    assert found == [
        (0, {"text": "a"}),
        (6, {"text": ""}),
        (7, {"text": "  b "}),
        (12, {"text": "last"}),
    ]


def test_a_line_that_is_no_utf8_is_a_reject_with_its_byte() -> None:
    stretches = read(Text(), b"a\nbc\xff\nd\n")
    assert [row["text"] for _, row in accepted(stretches)] == ["a", "d"]
    (reject,) = rejects(stretches)
    assert (reject.row, reject.position, reject.code) == (1, 2, "ENCODING")
    assert "byte 2" in reject.message


def test_a_huge_line_is_a_reject() -> None:
    stretches = read(Text(max_line=1_000), b"a\n" + b"x" * 3_000_000 + b"\nb")
    assert [row["text"] for _, row in accepted(stretches)] == ["a", "b"]
    assert [(each.row, each.code) for each in rejects(stretches)] == [(1, "LINE_TOO_LONG")]


def test_only_blank_lines_are_no_dataset() -> None:
    with pytest.raises(InvalidInput, match="DATASET_EMPTY"):
        Text().inspect(Bytes(b"\n \n\r\n"), "x.txt")


def test_one_line_without_end_is_refused_at_once() -> None:
    source = Bytes(b"x" * 50_000_000)
    with pytest.raises(InvalidInput, match="LINE_TOO_LONG"):
        Text(max_line=1_000_000).inspect(source, "x.txt")
    assert source.read < 5_000_000


def test_there_is_one_column() -> None:
    with pytest.raises(InvalidInput, match="SCHEMA_MISMATCH"):
        read(Text(), b"a\n", schema=pa.schema([("other", pa.string())]))
