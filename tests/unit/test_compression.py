"""Compressed files read as what they decode to; broken ones and bombs are refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pyarrow as pa
import pytest

from millrace.datasets.base import UNKNOWN_EXTENT
from millrace.datasets.compression import Codec, Decoded, decoded
from millrace.datasets.jsonl import JsonLines
from millrace.datasets.text import Text
from millrace.errors import InvalidInput
from tests.streams import Bytes, accepted, positions

CONTENT = "".join(f"line {number} – ü\n" for number in range(300_000)).encode()
PACK: dict[Codec, Callable[[bytes], bytes]] = {
    "gzip": lambda content: gzip.compress(content, 1),
    "zstd": lambda content: pa.compress(content, "zstd", asbytes=True),
}
SUFFIX = {"gzip": ".gz", "zstd": ".zst"}
SCHEMA = pa.schema([pa.field("text", pa.string())])


@pytest.fixture(params=list(PACK))
def codec(request: pytest.FixtureRequest) -> Codec:
    found: Codec = request.param
    return found


def test_any_order_of_reads_sees_the_decoded_bytes(codec: Codec) -> None:
    source = Decoded(Bytes(PACK[codec](CONTENT)), codec)
    end = len(CONTENT)
    for offset, length in ((0, 10), (5, 10), (5, 3), (1_000_000, 50), (999_990, 100), (2, 2)):
        assert source.read_at(offset, length) == CONTENT[offset : offset + length]
    assert source.read_at(end - 3, 100) == CONTENT[-3:]
    assert source.read_at(end + 5, 100) == b""
    assert source.read_at(0, end + 5) == CONTENT


def test_a_plain_file_is_itself() -> None:
    source = Bytes(b"plain")
    assert decoded(source) is source


def test_ranges_of_the_decoded_stream_partition_it(codec: Codec) -> None:
    packed = PACK[codec](CONTENT)
    form = Text()
    layout = form.inspect(Bytes(packed), "rows.txt" + SUFFIX[codec])
    assert (layout.extent, layout.divisible) == (UNKNOWN_EXTENT, False)
    assert "one block" in layout.note
    whole = positions(list(form.read(Bytes(packed), 0, UNKNOWN_EXTENT, SCHEMA)))
    assert len(whole) == 300_000
    for border in (1, whole[1], whole[150_000] + 3, len(CONTENT) - 1):
        first = list(form.read(Bytes(packed), 0, border, SCHEMA))
        second = list(form.read(Bytes(packed), border, UNKNOWN_EXTENT, SCHEMA))
        assert positions(first) + positions(second) == whole


def test_reading_a_late_range_decodes_the_stream_once(codec: Codec) -> None:
    source = Bytes(PACK[codec](CONTENT))
    start = len(CONTENT) - 100
    assert accepted(list(Text().read(source, start, UNKNOWN_EXTENT, SCHEMA)))
    assert source.read <= source.size + 1_000


@pytest.mark.parametrize("missing", [1, 4, 1_000])
def test_a_truncated_stream_is_not_the_end_of_the_rows(codec: Codec, missing: int) -> None:
    source = Bytes(PACK[codec](CONTENT)[:-missing])
    with pytest.raises(InvalidInput, match="DATASET_TRUNCATED"):
        list(Text().read(source, 0, UNKNOWN_EXTENT, SCHEMA))


def test_damage_and_rubbish_at_the_end_are_refused(codec: Codec) -> None:
    packed = PACK[codec](CONTENT)
    with pytest.raises(InvalidInput, match="DATASET_CORRUPT"):
        list(Text().read(Bytes(packed + b"rubbish"), 0, UNKNOWN_EXTENT, SCHEMA))


def test_streams_one_behind_the_other_are_one(codec: Codec) -> None:
    packed = PACK[codec](b"a\n") + PACK[codec](b"b\n")
    stretches = list(Text().read(Bytes(packed), 0, UNKNOWN_EXTENT, SCHEMA))
    assert [row["text"] for _, row in accepted(stretches)] == ["a", "b"]


def test_a_bomb_is_refused_long_before_its_end(codec: Codec) -> None:
    packed = Bytes(PACK[codec](b"\0" * 200_000_000))
    source = Decoded(packed, codec, floor=1 << 20)
    with pytest.raises(InvalidInput, match="DECOMPRESSION_LIMIT"):
        source.read_at(0, 200_000_000)
    assert packed.read < packed.size or codec == "zstd"


def test_the_suffix_and_the_first_bytes_must_agree(codec: Codec) -> None:
    packed = PACK[codec](b'{"a": 1}\n')
    with pytest.raises(InvalidInput, match=f"look like {codec}"):
        JsonLines().inspect(Bytes(packed), "rows.jsonl")
    with pytest.raises(InvalidInput, match="look like plain text"):
        JsonLines().inspect(Bytes(b'{"a": 1}\n'), "rows.jsonl" + SUFFIX[codec])


def test_the_number_of_rows_is_estimated_from_the_ratio(codec: Codec) -> None:
    layout = Text().inspect(Bytes(PACK[codec](CONTENT)), "rows.txt" + SUFFIX[codec])
    assert 100_000 < layout.rows < 900_000


def test_a_packed_file_without_rows_is_empty(codec: Codec) -> None:
    with pytest.raises(InvalidInput, match="DATASET_EMPTY"):
        Text().inspect(Bytes(PACK[codec](b"\n\n")), "rows.txt" + SUFFIX[codec])
