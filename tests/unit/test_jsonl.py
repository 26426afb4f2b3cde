"""JSON lines are read strictly: what is no sound row is a reject that says why and where."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.datasets.json_columns import infer
from millrace.datasets.json_parse import parse
from millrace.datasets.jsonl import JsonLines
from millrace.datasets.jsonl_writer import json_lines
from millrace.datasets.records import Fault
from millrace.datasets.schema import decode_schema, encode_schema, is_json, json_field
from millrace.errors import InvalidInput
from tests.streams import Bytes, accepted, read, rejects

FORM = JsonLines()


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"", "BLANK_LINE"),
        (b"  \t", "BLANK_LINE"),
        (b'{"a": 1', "JSON_INVALID"),
        (b'{"a": 1} x', "JSON_INVALID"),
        (b'{"a": NaN}', "JSON_INVALID"),
        (b'{"a": -Infinity}', "JSON_INVALID"),
        (b'{"a": 1e400}', "JSON_INVALID"),
        (b'{"a": "\\ud800"}', "JSON_INVALID"),
        (b'{"a": 18446744073709551616}', "JSON_INVALID"),
        (b'{"a": -9223372036854775809}', "JSON_INVALID"),
        (b'{"a": ' + b"1" * 5_000 + b"}", "JSON_INVALID"),
        (b'{"a": ' + b"[" * 100_000 + b"}", "JSON_INVALID"),
        (b'{"a": ' + b"[" * 1_010 + b"]" * 1_010 + b', "b:": 1}', "JSON_INVALID"),
        (b"{'a': 1}", "JSON_INVALID"),
        (b'{"a": "\x00"}', "JSON_INVALID"),
        (b'{"a": "\xff"}', "ENCODING"),
        (b"[1, 2]", "NOT_AN_OBJECT"),
        (b"17", "NOT_AN_OBJECT"),
        (b"null", "NOT_AN_OBJECT"),
        (b'{"a": 1, "a": 2}', "DUPLICATE_KEY"),
        (b'{"a": 1, "\\u0061": 2}', "DUPLICATE_KEY"),
        (b'{"a": {"b": 1, "b": 1}}', "DUPLICATE_KEY"),
    ],
)
def test_an_unsound_line_is_a_fault(line: bytes, code: str) -> None:
    fault = parse(line)
    assert isinstance(fault, Fault)
    assert fault.code == code
    assert len(fault.excerpt) <= 80


def test_a_fault_says_where() -> None:
    fault = parse('{"ü": "öö", "b": x}'.encode())
    assert isinstance(fault, Fault)
    assert "line 1 column 18" in fault.message
    assert "x}" in fault.excerpt


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab:"), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), VALUES, max_size=4))
def test_every_sound_object_is_read_as_it_is(row: dict[str, object]) -> None:
    assert parse(json.dumps(row).encode()) == row
    assert parse(json.dumps(row, ensure_ascii=False).encode()) == row


def test_columns_have_the_type_of_their_values() -> None:
    schema = infer(
        [
            {"b": True, "i": 1, "f": 1, "s": "x", "v": [1, 2.5], "o": {"x": 1}, "m": 1, "n": None},
            {"b": None, "i": 2, "f": 0.5, "s": None, "v": [], "o": None, "m": "x", "late": 1},
        ]
    )
    kinds = {field.name: field.type for field in schema}
    assert kinds == {
        "b": pa.bool_(),
        "i": pa.int64(),
        "f": pa.float64(),
        "s": pa.string(),
        "v": pa.list_(pa.float64()),
        "o": pa.string(),
        "m": pa.string(),
        "n": pa.string(),
        "late": pa.int64(),
    }
    assert [field.name for field in schema if is_json(field)] == ["o", "m"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ([0, 2**63 - 1, -(2**63)], pa.field("a", pa.int64())),
        ([1, 2**63], pa.field("a", pa.uint64())),
        ([None, 2**64 - 1], pa.field("a", pa.uint64())),
        ([-1, 2**63], json_field("a")),
        ([0.5, 2**63], pa.field("a", pa.float64())),
    ],
)
def test_integers_beyond_63_bits_are_read_exactly(values: list[object], field: pa.Field) -> None:
    content = "".join(json.dumps({"a": value}) + "\n" for value in values).encode()
    schema = FORM.inspect(Bytes(content), "x.jsonl").schema
    assert schema.equals(pa.schema([field]), check_metadata=True)
    stretches = read(FORM, content)
    assert rejects(stretches) == []
    batch = pa.Table.from_batches([rows.batch for rows in stretches]).combine_chunks()
    rewritten = json_lines(batch.to_batches()[0]).splitlines()
    assert [json.loads(line)["a"] for line in rewritten] == values


def test_a_schema_survives_as_text() -> None:
    schema = pa.schema([json_field("o"), pa.field("v", pa.list_(pa.float32(), 3))])
    assert decode_schema(encode_schema(schema)).equals(schema, check_metadata=True)


SCHEMA = pa.schema([("i", pa.int64()), ("f", pa.float64()), ("s", pa.string()), ("b", pa.bool_())])


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ('{"i": true}', "WRONG_TYPE"),
        ('{"i": 1.0}', "WRONG_TYPE"),
        ('{"i": "1"}', "WRONG_TYPE"),
        ('{"i": 9223372036854775808}', "WRONG_TYPE"),
        ('{"f": false}', "WRONG_TYPE"),
        ('{"f": "1"}', "WRONG_TYPE"),
        ('{"s": 1}', "WRONG_TYPE"),
        ('{"s": ["a"]}', "WRONG_TYPE"),
        ('{"b": 1}', "WRONG_TYPE"),
    ],
)
def test_a_value_of_another_type_is_a_reject(line: str, code: str) -> None:
    content = f'{{"i": 1}}\n{line}\n{{"i": 3}}\n'.encode()
    stretches = read(FORM, content, schema=SCHEMA)
    assert [row["i"] for _, row in accepted(stretches)] == [1, 3]
    (reject,) = rejects(stretches)
    assert (reject.row, reject.position, reject.code) == (1, 9, code)


def test_an_int_is_good_for_a_float_and_absence_for_an_optional_value() -> None:
    stretches = read(FORM, b'{"f": 9007199254740993}\n{}\n{"f": null}\n', schema=SCHEMA)
    assert [row["f"] for _, row in accepted(stretches)] == [9007199254740992.0, None, None]
    assert rejects(stretches) == []


def test_a_row_without_a_required_value_is_a_reject() -> None:
    content = b'{"s": "x"}\n{"s": null}\n{}\n{"s": ""}\n'
    stretches = read(FORM, content, schema=SCHEMA, required=("s",))
    assert [row["s"] for _, row in accepted(stretches)] == ["x", ""]
    assert [(reject.row, reject.code) for reject in rejects(stretches)] == [
        (1, "FIELD_MISSING"),
        (2, "FIELD_MISSING"),
    ]


def test_any_value_can_be_had_as_json_text() -> None:
    values = ['{"x": [1, null]}', '"ü"', "17", "true", "null", "[ ]"]
    content = "".join(f'{{"v": {value}}}\n' for value in values).encode()
    stretches = read(FORM, content, schema=pa.schema([json_field("v")]))
    texts = [row["v"] for _, row in accepted(stretches)]
    assert texts == ['{"x":[1,null]}', '"ü"', "17", "true", None, "[]"]


def test_what_cannot_be_written_again_is_a_reject() -> None:
    content = b'{"v": ' + b"[" * 500 + b"]" * 500 + b'}\n{"v": [1]}\n'
    stretches = read(FORM, content, schema=pa.schema([json_field("v")]))
    assert [row["v"] for _, row in accepted(stretches)] == ["[1]"]
    assert [reject.code for reject in rejects(stretches)] == ["JSON_INVALID"]


def test_a_list_of_other_things_is_no_vector() -> None:
    schema = pa.schema([("v", pa.list_(pa.float64()))])
    content = b'{"v": [1, 2]}\n{"v": [true]}\n{"v": [null]}\n{"v": "x"}\n{"v": []}\n'
    stretches = read(FORM, content, schema=schema)
    assert [row["v"] for _, row in accepted(stretches)] == [[1.0, 2.0], []]
    assert {reject.code for reject in rejects(stretches)} == {"WRONG_TYPE"}


def test_a_line_over_the_limit_is_a_reject_wherever_it_stands() -> None:
    long = b'{"s": "' + b"x" * 200 + b'"}'
    content = b'{"s": "a"}\n' + long + b'\n{"s": "b"}\n' + long
    stretches = read(JsonLines(max_line=100), content)
    assert [row["s"] for _, row in accepted(stretches)] == ["a", "b"]
    assert [(r.row, r.code) for r in rejects(stretches)] == [
        (1, "LINE_TOO_LONG"),
        (3, "LINE_TOO_LONG"),
    ]


def test_a_byte_order_mark_is_no_part_of_the_first_row() -> None:
    assert accepted(read(FORM, b'\xef\xbb\xbf{"a": 1}\r\n{"a": 2}')) == [
        (0, {"a": 1}),
        (13, {"a": 2}),
    ]


@pytest.mark.parametrize(
    ("content", "code", "hint"),
    [
        (b"\n \n", "DATASET_EMPTY", "check"),
        (b"a,b\n1,2\n", "FORMAT_MISMATCH", "one object per line"),
        (b'[\n{"a": 1},\n{"a": 2}\n]\n', "FORMAT_MISMATCH", "brackets"),
        (b'[{"a": 1}, {"a": 2}]\n', "FORMAT_MISMATCH", "brackets"),
        (b"x" * 2_000_000, "LINE_TOO_LONG", "split"),
    ],
)
def test_a_file_that_is_no_json_lines_is_refused(content: bytes, code: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        JsonLines(max_line=1_000_000).inspect(Bytes(content), "rows.jsonl")
    assert refusal.value.code == code
    assert hint in refusal.value.hint


def test_a_first_row_larger_than_the_sample_is_seen_whole() -> None:
    content = b'{"a": "' + b"x" * 3_000_000 + b'"}\n{"a": "y"}\n'
    assert FORM.inspect(Bytes(content), "rows").schema.names == ["a"]


def test_floats_are_written_as_short_as_they_are() -> None:
    batch = pa.record_batch(
        {
            "x": pa.array([0.1, None], pa.float32()),
            "v": pa.array([[0.1, 0.2], None], pa.list_(pa.float32())),
            "w": pa.array([[0.1], [float("nan")]], pa.list_(pa.float32(), 1)),
        }
    )
    assert json_lines(batch).splitlines() == [
        b'{"x":0.1,"v":[0.1,0.2],"w":[0.1]}',
        b'{"x":null,"v":null,"w":[null]}',
    ]


def test_json_text_is_written_as_it_is_and_odd_types_as_text() -> None:
    schema = pa.schema([json_field("o"), pa.field("d", pa.date32()), pa.field("raw", pa.binary())])
    batch = pa.record_batch(
        [['{"b":1,"a":[2]}'], pa.array([0], pa.date32()), [b"\xff"]], schema=schema
    )
    assert json_lines(batch) == b'{"o":{"b":1,"a":[2]},"d":"1970-01-01","raw":"/w=="}\n'


def test_lists_that_are_slices_write_only_their_own_rows(tmp_path: Path) -> None:
    for kind in (pa.list_(pa.float64()), pa.list_(pa.float64(), 2), pa.large_list(pa.int32())):
        batch = pa.record_batch({"v": pa.array([[1, 2], [3, 4], [5, 6]], kind)}).slice(1, 1)
        assert json.loads(json_lines(batch)) == {"v": [3, 4]}
