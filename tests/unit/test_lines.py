"""Every byte of a file is in exactly one range, wherever the borders are."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from millrace.datasets import lines as lines_module
from millrace.datasets.lines import BOM, lines
from millrace.errors import Unavailable
from tests.streams import Bytes

PIECES = st.sampled_from(
    [b"\n", b"\r\n", b"\r", b"", b"a", b"bc", "ü".encode(), "日本".encode(), b'"', BOM, b"x" * 40]
)
FILES = st.lists(PIECES, max_size=24).map(b"".join)


def plain(content: bytes) -> list[tuple[int, bytes]]:
    """The rule, said once more and as simply as can be."""
    found = []
    position = 0
    for line in content.split(b"\n"):
        found.append((position, line.removesuffix(b"\r")))
        position += len(line) + 1
    if not content or content.endswith(b"\n") or content == BOM:
        found.pop()
    if found and content.startswith(BOM):
        found[0] = (0, found[0][1].removeprefix(BOM))
    return found


def read(content: bytes, start: int, end: int) -> list[tuple[int, bytes]]:
    return [
        (int(at), line)
        for records in lines(Bytes(content), start, end)
        for at, line in zip(records.position, records.content, strict=True)
    ]


@settings(deadline=None)
@given(FILES, st.sampled_from([1, 2, 3, 7, 1 << 20]))
@example(b"", 1)
@example(BOM, 1)
@example(BOM + b"\n", 2)
@example(BOM + b"a\nb", 1)
@example(b"a\r\n\r\nb", 1)
@example(b"\n\n\n", 1)
@example("é\né".encode(), 1)
def test_a_border_at_every_offset_leaves_each_row_in_one_range(content: bytes, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "BLOCK", block)
        patch.setattr(lines_module, "_LEAST_READ", 1)
        for border in range(len(content) + 1):
            halves = read(content, 0, border) + read(content, border, len(content))
            assert halves == plain(content)


@settings(deadline=None)
@given(FILES, st.data())
def test_any_number_of_ranges_reads_the_whole(content: bytes, data: st.DataObject) -> None:
    inner = data.draw(st.lists(st.integers(0, len(content)), max_size=8))
    borders = [0, *sorted(inner), len(content)]
    found = [row for start, end in pairwise(borders) for row in read(content, start, end)]
    assert found == plain(content)


@settings(deadline=None)
@given(FILES.filter(bool), st.data(), st.sampled_from([1, 2, 3, 7, 1 << 20]))
def test_readers_agree_where_rows_meet(content: bytes, data: st.DataObject, block: int) -> None:
    """Each range says where the row behind its last one starts, and the next range begins there."""
    inner = data.draw(st.sets(st.integers(1, max(1, len(content) - 1)), max_size=8))
    borders = [0, *sorted(inner - {len(content)}), len(content)]
    expected = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines_module, "BLOCK", block)
        patch.setattr(lines_module, "_LEAST_READ", 1)
        for start, end in pairwise(borders):
            for records in lines(Bytes(content), start, end):
                assert start <= records.start == expected < end
                assert records.end is not None
                expected = records.end
            assert expected >= end or content == BOM
    assert expected == len(content) or content == BOM


def test_a_range_owns_the_rows_that_start_in_it_and_no_others() -> None:
    content = b"abc\nde\nf"
    for border in range(len(content) + 1):
        first = [at for at, _ in read(content, 0, border)]
        assert first == [at for at in (0, 4, 7) if at < border]


def test_a_huge_line_is_cut_short_and_the_next_one_is_read() -> None:
    content = b"a\n" + b"x" * 5_000_000 + b"\nb\n"
    source = Bytes(content)
    found = [
        (int(at), len(line))
        for records in lines(source, 0, source.size, limit=1_000)
        for at, line in zip(records.position, records.content, strict=True)
    ]
    assert found == [(0, 1), (2, 1_001), (len(content) - 2, 1)]


def test_a_range_inside_a_huge_line_reads_no_further_than_its_end() -> None:
    source = Bytes(b"x" * 5_000_000)
    assert list(lines(source, 1_000, 2_000)) == []
    assert source.furthest <= 2_000


def test_a_line_over_the_limit_is_not_followed_beyond_the_range() -> None:
    source = Bytes(b"x" * 50_000_000)
    assert len(list(lines(source, 0, 10, limit=1_000))) == 1
    assert source.read < 2_000_000


def test_nothing_in_the_middle_of_a_file_is_not_taken_for_its_end() -> None:
    class Torn(Bytes):
        def read_at(self, offset: int, length: int) -> bytes:
            return b"" if offset >= 4 else super().read_at(offset, min(length, 4 - offset))

    for start in (0, 6):
        with pytest.raises(Unavailable, match="READ_SHORT"):
            list(lines(Torn(b"a\nb\nc\nd\ne\n"), start, 10))


def test_stretches_are_bounded() -> None:
    source = Bytes(b"\n" * 100_000)
    sizes = [len(records.content) for records in lines(source, 0, source.size)]
    assert max(sizes) <= 4_096
    assert sum(sizes) == 100_000
