"""Parquet: planned from the footer, cut anywhere, and no trust in what strangers wrote."""

from __future__ import annotations

import decimal
import os
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.datasets import parquet_file, parquet_writer
from millrace.datasets.parquet import BATCH_BYTES, Parquet
from millrace.datasets.schema import json_field
from millrace.errors import InvalidInput
from tests.streams import Bytes, accepted, positions, read, rejects

FORM = Parquet()


def written(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return bytes(sink.getvalue().to_pybytes())


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.integers(1, 20), st.lists(st.integers(0, 70), min_size=1, max_size=4))
def test_ranges_of_rows_partition_the_file(rows: int, group: int, inner: list[int]) -> None:
    content = written(pa.table({"id": range(rows)}), row_group_size=group)
    borders = [0, *sorted(inner), max(rows, *inner)]
    found = []
    for start, end in pairwise(borders):
        stretches = read(FORM, content, start, end)
        found += positions(stretches)
        assert all(row["id"] == at for at, row in accepted(stretches))
    assert found == list(range(rows))


def test_planning_reads_the_footer_only() -> None:
    source = Bytes(written(pa.table({"x": np.random.default_rng(0).random(500_000)})))
    layout = FORM.inspect(source, "x.parquet")
    assert source.read < 200_000
    assert (layout.extent, layout.rows) == (500_000, 500_000)
    content = written(pa.table({"x": range(25)}), row_group_size=10)
    assert FORM.inspect(Bytes(content), "x").borders == (0, 10, 20)


def test_batches_are_bounded_whatever_the_row_group() -> None:
    vectors = np.zeros((20_000, 512), dtype=np.float32) + np.arange(20_000)[:, None]
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 512)
    content = written(pa.table({"v": column}), use_dictionary=False)
    sizes = [rows.batch.nbytes for rows in read(FORM, content)]
    assert len(sizes) > 2
    assert max(sizes) <= 2 * BATCH_BYTES


def test_null_and_misfit_are_rejects() -> None:
    content = written(pa.table({"x": pa.array(["1", None, "y", "4"])}))
    schema = pa.schema([("x", pa.int64())])
    stretches = read(FORM, content, schema=schema, required=("x",))
    assert accepted(stretches) == [(0, {"x": 1}), (3, {"x": 4})]
    assert [(each.row, each.position, each.code) for each in rejects(stretches)] == [
        (1, 1, "FIELD_MISSING"),
        (2, 2, "WRONG_TYPE"),
    ]


def test_text_that_is_no_utf8_is_a_reject() -> None:
    raw = pa.array([b"a", b"\xff", b"c"])
    text = pa.StringArray.from_buffers(3, *raw.buffers()[1:])
    stretches = read(FORM, written(pa.table({"text": text})))
    assert [row["text"] for _, row in accepted(stretches)] == ["a", "c"]
    assert [(each.row, each.code) for each in rejects(stretches)] == [(1, "ENCODING")]


def test_dictionaries_and_extension_types_are_read_as_what_they_store() -> None:
    table = pa.table(
        {
            "d": pa.array(["x", "y", "x"]).dictionary_encode(),
            "u": pa.array([b"0" * 16] * 3, pa.uuid()),
        }
    )
    content = written(table)
    layout = FORM.inspect(Bytes(content), "x")
    assert layout.schema.types == [pa.string(), pa.binary(16)]
    assert [row["d"] for _, row in accepted(read(FORM, content))] == ["x", "y", "x"]


def test_an_extension_type_of_a_stranger_runs_no_code(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    payload = f"cposix\nsystem\n(S'touch {canary}'\ntR.".encode()
    field = pa.field(
        "x",
        pa.int64(),
        metadata={
            b"ARROW:extension:name": b"arrow.py_extension_type",
            b"ARROW:extension:metadata": payload,
        },
    )
    content = written(pa.table([pa.array([1, 2])], schema=pa.schema([field])))
    assert [row["x"] for _, row in accepted(read(FORM, content))] == [1, 2]
    assert not canary.exists()


def test_nested_values_can_be_had_as_json_text() -> None:
    content = written(pa.table({"o": [{"a": [1, 2]}, None]}))
    stretches = read(FORM, content, schema=pa.schema([json_field("o")]))
    assert [row["o"] for _, row in accepted(stretches)] == ['{"a":[1,2]}', None]


SOUND = written(pa.table({"x": pa.array(range(1_000)), "t": ["word"] * 1_000}), compression="none")


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-10],
        lambda content: content[: len(content) // 2],
        lambda content: content[:-8] + b"\xff\xff\xff\x7fPAR1",
        lambda content: content[:-8] + b"\0\0\0\0PAR1",
        lambda content: b"PAR1" + content[-8:],
        lambda content: b"PAR1",
    ],
)
def test_a_broken_footer_is_said_so(damage: Callable[[bytes], bytes]) -> None:
    with pytest.raises(InvalidInput, match="PARQUET_CORRUPT"):
        FORM.inspect(Bytes(damage(SOUND)), "x.parquet")


@settings(deadline=None, max_examples=300)
@given(st.integers(4, len(SOUND) - 1), st.integers(1, 255))
def test_a_flipped_byte_is_no_traceback(at: int, flip: int) -> None:
    content = SOUND[:at] + bytes([SOUND[at] ^ flip]) + SOUND[at + 1 :]
    with suppress(InvalidInput):
        read(FORM, content)


def test_a_page_whose_checksum_is_wrong_is_said_so() -> None:
    table = pa.table({"x": pa.array(range(1_000))})
    content = bytearray(
        written(table, compression="none", use_dictionary=False, write_page_checksum=True)
    )
    at = bytes(content).index((500).to_bytes(8, "little"))
    content[at] ^= 1
    with pytest.raises(InvalidInput, match="PARQUET_CORRUPT"):
        read(FORM, bytes(content))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "DATASET_EMPTY"),
        (b"PARE" + b"x" * 100 + b"PARE", "PARQUET_ENCRYPTED"),
        (b'{"a": 1}\n', "FORMAT_MISMATCH"),
        (written(pa.table({"x": pa.array([], pa.int64())})), "DATASET_EMPTY"),
    ],
)
def test_what_cannot_be_used_is_named(content: bytes, code: str) -> None:
    with pytest.raises(InvalidInput, match=code):
        FORM.inspect(Bytes(content), "x.parquet")


def test_too_many_columns_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_file, "MAX_COLUMNS", 3)
    with pytest.raises(InvalidInput, match="PARSER_RESOURCE_LIMIT"):
        FORM.inspect(Bytes(written(pa.table({name: [1] for name in "abcd"}))), "x")


def test_columns_of_one_name_are_refused() -> None:
    table = pa.table([[1], [2], [3]], names=["a", "b", "a"])
    with pytest.raises(InvalidInput, match="SCHEMA_MISMATCH") as refusal:
        FORM.inspect(Bytes(written(table)), "x.parquet")
    assert "x.parquet has more than one column 'a'" in refusal.value.message


def test_odd_types_are_read(tmp_path: Path) -> None:
    table = pa.table(
        {
            "d": pa.array([decimal.Decimal("1.5")], pa.decimal256(40, 2)),
            "t": pa.array([0], pa.timestamp("ns")),
        }
    )
    content = written(table, use_deprecated_int96_timestamps=True)
    assert len(accepted(read(FORM, content))) == 1


def test_the_writer_makes_row_groups_of_a_useful_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_writer, "GROUP_ROWS", 1_000)
    batch = pa.record_batch({"x": range(300)})
    writer = FORM.writer(tmp_path / "x", batch.schema)
    for _ in range(10):
        writer.write(batch)
    writer.close()
    footer = pq.read_metadata(tmp_path / "x")
    groups = [footer.row_group(at).num_rows for at in range(footer.num_row_groups)]
    assert sum(groups) == 3_000
    assert min(groups[:-1]) >= 200
    assert len(groups) <= 6
    assert os.stat(tmp_path / "x").st_size
