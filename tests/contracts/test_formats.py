"""What every format of the catalog promises, run over each of them unasked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millrace import catalog, datasets, storage
from millrace.datasets import parquet_splice
from millrace.datasets.base import Format, WritableFormat
from millrace.errors import InputChanged, InvalidInput, Unavailable
from tests.streams import Bytes, accepted, positions, read, rejects

ROWS = 40
TEXTS = [f"row {row} – größer, \\ and so on" for row in range(ROWS)]
WRITABLE = [name for name in catalog.FORMATS if hasattr(datasets.for_name(name), "writer")]


def parquet(rows: int, group: int = 7) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"id": range(rows), "text": [TEXTS[row % ROWS] for row in range(rows)]})
    pq.write_table(table, sink, row_group_size=group)
    return cast(bytes, sink.getvalue().to_pybytes())


CONTENT: dict[str, bytes] = {
    "jsonl": "".join(
        f'{{"id": {row}, "text": "{text.replace(chr(92), chr(92) * 2)}"}}\n'
        for row, text in enumerate(TEXTS)
    ).encode(),
    "csv": ("id,text\n" + "".join(f'{at},"{text}"\n' for at, text in enumerate(TEXTS))).encode(),
    "tsv": ("id\ttext\n" + "".join(f"{at}\t{text}\n" for at, text in enumerate(TEXTS))).encode(),
    "text": "".join(f"{text}\n" for text in TEXTS).encode(),
    "parquet": parquet(ROWS),
}


@pytest.fixture(params=list(catalog.FORMATS))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def form(name: str) -> Format:
    return datasets.for_name(name)


def test_the_layout_tells_extent_rows_and_columns(name: str, form: Format) -> None:
    layout = form.inspect(Bytes(CONTENT[name]), "rows")
    assert layout.extent == (ROWS if name == "parquet" else len(CONTENT[name]))
    assert layout.rows in (ROWS, ROWS + 1)
    assert layout.divisible
    assert layout.schema.field("text").type == pa.string()
    assert all(0 <= border < layout.extent for border in layout.borders)


def test_a_border_anywhere_leaves_each_row_in_exactly_one_range(name: str, form: Format) -> None:
    source = Bytes(CONTENT[name])
    layout = form.inspect(source, "rows")
    whole = accepted(list(form.read(source, 0, layout.extent, layout.schema)))
    assert [row["text"] for _, row in whole] == TEXTS
    for border in range(layout.extent + 1):
        first = list(form.read(source, 0, border, layout.schema))
        second = list(form.read(source, border, layout.extent, layout.schema))
        assert accepted(first) + accepted(second) == whole
        assert all(at < border for at in positions(first))
        assert all(at >= border for at in positions(second))


def test_readers_agree_where_their_rows_meet(name: str, form: Format) -> None:
    """Wherever a file is cut, the row behind the last one of a range is the first one of the next
    range that has any.
    """
    source = Bytes(CONTENT[name])
    layout = form.inspect(source, "rows")
    for step in (1, 2, 3, 7, 50, layout.extent):
        expected = 0
        for start in range(0, layout.extent, step):
            end = min(start + step, layout.extent)
            for rows in form.read(source, start, end, layout.schema):
                assert rows.start == expected
                assert start <= rows.start < end
                assert all(at >= rows.start for at in positions([rows]))
                assert rows.end is not None
                expected = rows.end
            assert expected >= end
        assert expected == layout.extent


def test_rows_are_numbered_from_the_start_of_the_range(name: str, form: Format) -> None:
    source = Bytes(CONTENT[name])
    layout = form.inspect(source, "rows")
    assert len(positions(list(form.read(source, layout.extent // 3, layout.extent, layout.schema))))


def test_only_the_columns_of_the_schema_come_and_in_its_order(name: str, form: Format) -> None:
    schema = pa.schema([pa.field("text", pa.string())])
    for rows in read(form, CONTENT[name], schema=schema):
        assert rows.batch.schema == schema
        assert rows.row.dtype == rows.position.dtype == np.int64
        assert len(rows.row) == len(rows.position) == rows.batch.num_rows


def test_a_range_without_rows_is_empty(name: str, form: Format) -> None:
    stretches = read(form, CONTENT[name], 1 << 50, 1 << 51)
    assert accepted(stretches) == []
    assert rejects(stretches) == []


def test_a_missing_required_column_is_named(name: str, form: Format) -> None:
    schema = pa.schema([pa.field("text", pa.string()), pa.field("lost", pa.string())])
    if name == "jsonl":
        found = rejects(read(form, CONTENT[name], schema=schema, required=("lost",)))
        assert [(reject.row, reject.code) for reject in found] == [
            (row, "FIELD_MISSING") for row in range(ROWS)
        ]
        return
    with pytest.raises(InvalidInput, match=r"'lost'.*SCHEMA_MISMATCH"):
        read(form, CONTENT[name], schema=schema, required=("lost",))


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"])
def test_a_file_without_rows_is_refused(name: str, form: Format, content: bytes) -> None:
    with pytest.raises(InvalidInput) as refusal:
        form.inspect(Bytes(content), "rows")
    assert refusal.value.code in ("DATASET_EMPTY", "FORMAT_MISMATCH")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x1f\x8b\x08\0rest", "gzip"),
        (b"PK\x03\x04rest", "zip"),
        (b"  <!DOCTYPE html><p>404", "HTML"),
        ("a\nb".encode("utf-16"), "UTF-16"),
        (b"\0\1\2\3" * 20, "binary"),
    ],
)
def test_another_format_is_named(name: str, form: Format, content: bytes, kind: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        form.inspect(Bytes(content), "rows")
    assert refusal.value.code in ("FORMAT_MISMATCH", "ENCODING")
    assert name == "parquet" or kind in refusal.value.message
    assert refusal.value.hint


def test_a_file_that_changes_while_it_is_read_is_no_row(
    name: str, form: Format, tmp_path: Path
) -> None:
    file = tmp_path / "rows"
    file.write_bytes(CONTENT[name])
    uri = storage.normalise(str(file))
    store = storage.for_uri(uri)
    source = store.open(store.info(uri))
    layout = form.inspect(source, "rows")
    os.utime(file, ns=(1, 1))
    with pytest.raises(InputChanged, match="INPUT_CHANGED"):
        list(form.read(source, 0, layout.extent, layout.schema))
    source.close()


@pytest.mark.parametrize("name", WRITABLE)
def test_what_is_written_is_read_back(name: str, tmp_path: Path) -> None:
    form = cast(WritableFormat, datasets.for_name(name))
    vectors = pa.array([[0.1, 2.0], [3.5, -4.25]], pa.list_(pa.float32(), 2))
    batch = pa.record_batch(
        {
            "id": pa.array([7, 8]),
            "text": pa.array(['say "hü"\n\tto me, you', "plain"]),
            "score": pa.array([0.1, None], pa.float32()),
            "vector": vectors,
        }
    )
    path = tmp_path / f"out{form.suffix}"
    writer = form.writer(path, batch.schema)
    writer.write(batch.slice(0, 1))
    writer.write(batch.slice(1))
    writer.close()
    rows = [row for _, row in accepted(read(form, path.read_bytes()))]
    assert [row["id"] for row in rows] == [7, 8]
    assert [row["text"] for row in rows] == batch.column("text").to_pylist()
    assert rows[0]["score"] == pytest.approx(0.1)
    assert rows[1]["score"] is None
    assert str(rows[1]["vector"]).replace(" ", "") == "[3.5,-4.25]"


@pytest.mark.parametrize("name", WRITABLE)
def test_nothing_but_numbers_is_written_for_numbers(name: str, tmp_path: Path) -> None:
    form = cast(WritableFormat, datasets.for_name(name))
    batch = pa.record_batch({"id": [1, 2, 3], "x": [1.5, float("nan"), float("inf")]})
    path = tmp_path / "out"
    writer = form.writer(path, batch.schema)
    writer.write(batch)
    writer.close()
    content = path.read_bytes().lower()
    assert name == "parquet" or (b"nan" not in content and b"inf" not in content)


def file_of(form: WritableFormat, path: Path, batch: pa.RecordBatch) -> Path:
    writer = form.writer(path, batch.schema)
    writer.write(batch)
    writer.close()
    return path


def numbered(numbers: list[int]) -> pa.RecordBatch:
    """Rows that a careless cut would tear apart, or spell in another way."""
    return pa.record_batch(
        {
            "id": pa.array(numbers, pa.int64()),
            "text": [f'row "{number}",\nof many' for number in numbers],
            "score": pa.array([number / 3 for number in numbers], pa.float32()),
        }
    )


SPLICES = {
    "by turns": (0, [(2, 1), (0, 2), (3, 0), (1, 1)]),
    "behind a skip": (4, [(1, 0), (1, 4)]),
    "only of the second": (0, [(0, 4)]),
    "nothing of the second": (2, [(3, 0)]),
}


@pytest.mark.parametrize("name", WRITABLE)
@pytest.mark.parametrize(("skip", "turns"), SPLICES.values(), ids=SPLICES)
@pytest.mark.parametrize("lot", [2, 1_000])
def test_two_files_are_spliced_row_by_row(
    name: str,
    skip: int,
    turns: list[tuple[int, int]],
    lot: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parquet_splice, "BATCH_ROWS", lot)
    form = cast(WritableFormat, datasets.for_name(name))
    ours, theirs = [*range(6)], [*range(100, 104)]
    first = file_of(form, tmp_path / "first", numbered(ours))
    second = file_of(form, tmp_path / "second", numbered(theirs))
    wanted: list[int] = []
    del ours[:skip]
    for some, others in turns:
        wanted += [ours.pop(0) for _ in range(some)] + [theirs.pop(0) for _ in range(others)]

    form.splice(first, second, skip, turns, tmp_path / "spliced")

    expected = file_of(form, tmp_path / "expected", numbered(wanted))
    assert accepted(read(form, (tmp_path / "spliced").read_bytes())) == accepted(
        read(form, expected.read_bytes())
    )
    assert form.typed or (tmp_path / "spliced").read_bytes() == expected.read_bytes()
    if not any(others for _, others in turns):
        form.splice(first, None, skip, turns, tmp_path / "alone")
        assert (tmp_path / "alone").read_bytes() == (tmp_path / "spliced").read_bytes()


@pytest.mark.parametrize("name", WRITABLE)
@pytest.mark.parametrize(("skip", "turns"), [(0, [(7, 0)]), (7, []), (0, [(1, 5)])])
def test_a_splice_of_rows_that_are_not_there_is_refused(
    name: str, skip: int, turns: list[tuple[int, int]], tmp_path: Path
) -> None:
    form = cast(WritableFormat, datasets.for_name(name))
    first = file_of(form, tmp_path / "first", numbered([*range(6)]))
    second = file_of(form, tmp_path / "second", numbered([*range(4)]))
    with pytest.raises(InvalidInput, match=r"1 rows less .*ROWS_MISSING"):
        form.splice(first, second, skip, turns, tmp_path / "spliced")


@pytest.mark.parametrize("name", ["csv", "parquet"])
def test_rows_of_other_columns_are_not_spliced(name: str, tmp_path: Path) -> None:
    form = cast(WritableFormat, datasets.for_name(name))
    first = file_of(form, tmp_path / "first", numbered([1]))
    second = file_of(form, tmp_path / "second", pa.record_batch({"id": [1], "other": [2]}))
    with pytest.raises(InvalidInput, match="COLUMNS_CHANGED"):
        form.splice(first, second, 0, [(1, 1)], tmp_path / "spliced")


@pytest.mark.parametrize("name", WRITABLE)
def test_a_full_disk_is_said_so(name: str) -> None:
    form = cast(WritableFormat, datasets.for_name(name))
    batch = pa.record_batch({"text": ["x" * 1_000] * 2_000})

    def write() -> None:
        writer = form.writer(Path("/dev/full"), batch.schema)
        writer.write(batch)
        writer.close()

    with pytest.raises(Unavailable) as failure:
        write()
    assert failure.value.code == "STORAGE_FULL"
