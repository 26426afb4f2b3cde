"""CSV: where records end, what their fields are, and that a wrong cut never goes unseen."""

from __future__ import annotations

import csv
import io
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from millrace.datasets import lines
from millrace.datasets.csv import Csv, Tsv
from millrace.errors import InvalidInput
from tests.streams import Bytes, accepted, positions, read, rejects

TEXT = pa.schema([("a", pa.string()), ("b", pa.string())])
FIELDS = st.text(st.sampled_from('ab ",\n\rü'), max_size=6)


def written(rows: list[tuple[str, str]], end: str = "\n") -> bytes:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(["a", "b"])
    writer.writerows(rows)
    return sink.getvalue().encode()


@settings(deadline=None)
@given(st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=6), st.sampled_from(["\n", "\r\n"]))
@example([("", "")], "\n")
@example([("a\n", "b"), ('"', "\n\n")], "\n")
def test_a_border_anywhere_in_a_multiline_file_leaves_each_record_in_one_range(
    rows: list[tuple[str, str]], end: str
) -> None:
    content = written(rows, end)
    form = Csv(multiline=True)
    whole = list(form.read(Bytes(content), 0, len(content), TEXT))
    assert [(row["a"], row["b"]) for _, row in accepted(whole)] == rows
    for border in range(len(content) + 1):
        first = list(form.read(Bytes(content), 0, border, TEXT))
        second = list(form.read(Bytes(content), border, len(content), TEXT))
        assert accepted(first) + accepted(second) == accepted(whole)


@settings(deadline=None)
@given(st.lists(st.tuples(FIELDS, FIELDS), min_size=1, max_size=6), st.data())
def test_ranges_by_line_are_right_or_one_of_them_refuses(
    rows: list[tuple[str, str]], data: st.DataObject
) -> None:
    """The sample is kept from seeing the quoted newlines, as in a file where they come late."""
    content = written(rows)
    inner = data.draw(st.lists(st.integers(0, len(content)), max_size=4))
    borders = [0, *sorted(inner), len(content)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("millrace.datasets.csv.SAMPLE", 1)
        found = by_ranges(content, borders)
    if found is None:
        assert any("\n" in field for row in rows for field in row)
    else:
        assert found == rows


def by_ranges(content: bytes, borders: list[int]) -> list[tuple[object, object]] | None:
    """The rows as the ranges see them, none where one of these refuses."""
    try:
        return [
            (row["a"], row["b"])
            for start, end in pairwise(borders)
            for _, row in accepted(list(Csv().read(Bytes(content), start, end, TEXT)))
        ]
    except InvalidInput as refusal:
        if refusal.code == "CSV_QUOTED_NEWLINE":
            return None
        raise


def test_a_cut_inside_quotes_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millrace.datasets.csv.SAMPLE", 1)
    content = b'a,b\n1,"x\ny"\n'
    with pytest.raises(InvalidInput, match="CSV_QUOTED_NEWLINE") as refusal:
        list(Csv().read(Bytes(content), 0, 8, TEXT))
    assert "--csv-multiline" in refusal.value.hint
    assert "a quote is not closed, or a quoted field holds a newline" in refusal.value.message
    assert "near byte 4" in refusal.value.message


def test_a_stray_quote_is_found_near_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millrace.datasets.csv.SAMPLE", 1)
    before = b"a,b\n" + b'1,"2"\n' * 100
    content = before + b'3,"4\n' + b'5,"6"\n' * 100
    with pytest.raises(InvalidInput, match=f"near byte {len(before)}"):
        read(Csv(), content, schema=TEXT, end=len(content) - 3)


def test_a_quoted_newline_in_the_sample_makes_one_block() -> None:
    content = b'a,b\n1,"x\ny"\n'
    layout = Csv().inspect(Bytes(content), "x.csv")
    assert not layout.divisible
    assert layout.extent == len(content)
    assert "one block" in layout.note
    assert Csv().inspect(Bytes(b"a,b\n1,2\n"), "x.csv").divisible
    assert not Csv(multiline=True).inspect(Bytes(b"a,b\n1,2\n"), "x.csv").divisible


@pytest.mark.parametrize("block", [1, 5, 64])
def test_a_record_may_cross_blocks(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "BLOCK", block)
    monkeypatch.setattr(lines, "_LEAST_READ", 1)
    content = b'a,b\n1,"x\n\ny, ""z"""\n2,w\n'
    rows = [row for _, row in accepted(read(Csv(), content, schema=TEXT))]
    assert rows == [{"a": "1", "b": 'x\n\ny, "z"'}, {"a": "2", "b": "w"}]


@pytest.mark.parametrize("content", [b'a,b\n1,"x\n2,y\n', b'a,"b\n1,2\n', b'a,b\n1,5" disk\n'])
def test_an_unclosed_quote_is_refused(content: bytes) -> None:
    for form in (Csv(), Csv(multiline=True)):
        with pytest.raises(InvalidInput) as refusal:
            form.inspect(Bytes(content), "x.csv")
        assert refusal.value.code == "CSV_UNCLOSED_QUOTE"


def test_an_unclosed_quote_behind_the_sample_stops_the_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("millrace.datasets.csv.SAMPLE", 1)
    for form, code in ((Csv(), "CSV_QUOTED_NEWLINE"), (Csv(multiline=True), "CSV_UNCLOSED_QUOTE")):
        with pytest.raises(InvalidInput, match=code):
            list(form.read(Bytes(b'a,b\n1,2\n3,"4\n'), 0, 99, TEXT))


def test_bad_records_are_rejects_with_their_place() -> None:
    content = b'a,b\n1,2\n3\n4,5,6\n\n7,"8"x\n\xff,9\n10,11\n'
    stretches = read(Csv(), content, schema=TEXT)
    assert [row["a"] for _, row in accepted(stretches)] == ["1", "10"]
    found = [(each.row, each.code, each.message) for each in rejects(stretches)]
    assert found[0] == (1, "FIELD_COUNT", "expected 2 got 1")
    assert found[1] == (2, "FIELD_COUNT", "expected 2 got 3")
    assert [code for _, code, _ in found[2:]] == ["BLANK_LINE", "CSV_INVALID", "ENCODING"]
    assert positions(stretches) == [4, 8, 10, 16, 17, 24, 28]


def test_a_stray_quote_in_one_record_does_not_swallow_the_next() -> None:
    content = b'a,b\nx"y,"\n3,4\n5,6\n'
    stretches = read(Csv(multiline=True), content, schema=TEXT)
    assert [row["a"] for _, row in accepted(stretches)] == ["3", "5"]
    assert [each.row for each in rejects(stretches)] == [0]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "-2", ""], pa.int64()),
        (["1", "2.5"], pa.float64()),
        (["1e3", "-0.5"], pa.float64()),
        (["007", "8"], pa.string()),
        (["+1", "2"], pa.string()),
        (["1", "x"], pa.string()),
        (["nan", "1"], pa.string()),
        (["1e999", "1"], pa.string()),
        (["9223372036854775807"], pa.int64()),
        (["9223372036854775808"], pa.string()),
        (["1.5", "12345678901234567"], pa.string()),
        (["", ""], pa.string()),
        (["true", "false"], pa.string()),
        (["１"], pa.string()),
        (["1\n"], pa.string()),
    ],
)
def test_types_come_from_the_sample(values: list[str], kind: pa.DataType) -> None:
    content = "a,b\n" + "".join(f'"{value}",x\n' for value in values)
    assert Csv().inspect(Bytes(content.encode()), "x.csv").schema.field("a").type == kind


def test_a_bad_number_later_is_a_reject_and_an_empty_one_null() -> None:
    schema = pa.schema([("a", pa.int64()), ("b", pa.float64())])
    content = b"a,b\n1,1.5\n,\n007,1\n2,x\n9223372036854775808,1\n3,1e999\n-4,2\n"
    stretches = read(Csv(), content, schema=schema)
    rows = [row for _, row in accepted(stretches)]
    assert rows == [{"a": 1, "b": 1.5}, {"a": None, "b": None}, {"a": -4, "b": 2.0}]
    assert [(each.row, each.code) for each in rejects(stretches)] == [
        (row, "WRONG_TYPE") for row in (2, 3, 4, 5)
    ]
    required = read(Csv(), content, schema=schema, required=("a",))
    assert (1, "FIELD_MISSING") in [(each.row, each.code) for each in rejects(required)]


def test_a_number_read_as_a_string_keeps_its_text() -> None:
    rows = [row for _, row in accepted(read(Csv(), b"a,b\n007, 1.50 \n", schema=TEXT))]
    assert rows == [{"a": "007", "b": " 1.50 "}]


@pytest.mark.parametrize(
    ("content", "code", "part"),
    [
        (b"a,a\n1,2\n", "CSV_HEADER", "'a'"),
        (b"a,\n1,2\n", "CSV_HEADER", "column 2"),
        (b"1,2.5\n1,2\n", "CSV_HEADER", "looks like values"),
        (b"a;b\n1;2\n", "CSV_DELIMITER", "semicolon"),
        (b"a\tb\n1\t2\n", "CSV_DELIMITER", "tab"),
        (b"\xff,b\n1,2\n", "ENCODING", "header"),
        (b"a,b\n", "DATASET_EMPTY", "no rows"),
        (b"a,b\n\n\n", "DATASET_EMPTY", "no rows"),
    ],
)
def test_an_unusable_header_is_refused(content: bytes, code: str, part: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        Csv().inspect(Bytes(content), "x.csv")
    assert refusal.value.code == code
    assert part in refusal.value.message
    assert refusal.value.hint


def test_tabs_separate_the_fields_of_tsv() -> None:
    rows = [row for _, row in accepted(read(Tsv(), b'a\tb\n1,5\t"x\ty"\n', schema=TEXT))]
    assert rows == [{"a": "1,5", "b": "x\ty"}]


def test_a_long_field_is_no_problem() -> None:
    content = b"a,b\n" + b"x" * 500_000 + b",1\n"
    assert accepted(read(Csv(), content, schema=TEXT))[0][1]["b"] == "1"


def test_formulas_are_escaped_and_numbers_are_not(tmp_path: Path) -> None:
    formulas = ["=1+1", "+1+A1", "-1-A1", "@x", "\tx", "\rx", "-", "-5\n", "-5e", "+.", "-0x1"]
    plain = ["fine", 'a "b"', "-5", "+1.5e3", "-0", "-.5", "+7.", "-1E-9", None]
    texts = [*formulas, *plain]
    count = len(texts)
    batch = pa.record_batch({"t": texts, "n": list(range(-8, count - 8)), "v": [[1, 2]] * count})
    writer = Csv().writer(tmp_path / "x.csv", batch.schema)
    writer.write(batch)
    writer.close()
    with (tmp_path / "x.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows[1:]] == [
        *(f"'{text}" for text in formulas),
        *(text or "" for text in plain),
    ]
    assert rows[1][1:] == ["-8", "[1,2]"]
