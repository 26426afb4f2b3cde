"""The plan covers everything once, and its chunks have the sizes that were asked for."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.datasets.base import UNKNOWN_EXTENT, Layout
from millrace.errors import InvalidInput
from millrace.planning import splitter
from millrace.planning.splitter import cut
from millrace.types import Input, PlannedChunk

Source = tuple[Input, Layout]
EMPTY = pa.schema([])


def place(*files: tuple[int, int, bool, int, tuple[int, ...]]) -> list[Source]:
    """Inputs one behind the other from (extent, size, divisible, rows, borders)."""
    placed: list[Source] = []
    base = 0
    for index, (extent, size, divisible, rows, borders) in enumerate(files):
        layout = Layout(extent, divisible, borders, rows, EMPTY)
        each = Input(index, f"file:///{index}", "any", size, "1", base, extent, divisible)
        placed.append((each, layout))
        base += extent
    return placed


def line_file(
    size: int, rows: int, divisible: bool = True
) -> tuple[int, int, bool, int, tuple[int, ...]]:
    return size, size, divisible, rows, ()


def row_groups(*lengths: int, width: int = 100) -> tuple[int, int, bool, int, tuple[int, ...]]:
    starts = tuple(sum(lengths[:at]) for at in range(len(lengths)))
    return sum(lengths), sum(lengths) * width, True, sum(lengths), starts


@st.composite
def files(draw: st.DrawFn) -> tuple[int, int, bool, int, tuple[int, ...]]:
    match draw(st.sampled_from(["lines", "block", "compressed", "groups"])):
        case "lines" | "block" as kind:
            size = draw(st.integers(1, 3_000_000))
            return size, size, kind == "lines", draw(st.integers(1, 50_000)), ()
        case "compressed":
            rows = draw(st.integers(1, 50_000))
            return UNKNOWN_EXTENT, draw(st.integers(1, 3_000_000)), False, rows, ()
        case _:
            lengths = draw(st.lists(st.integers(1, 20_000), min_size=1, max_size=6))
            extent, _, divisible, rows, borders = row_groups(*lengths)
            return extent, draw(st.integers(1, 3_000_000)), divisible, rows, borders


def check_partition(sources: list[Source], plan: list[PlannedChunk]) -> None:
    place = 0
    for chunk in plan:
        assert chunk.span.start == place
        assert chunk.span.length > 0
        place = chunk.span.end
    last = sources[-1][0]
    assert place == last.base + last.extent
    assert sum(chunk.weight for chunk in plan) == sum(each.size for each, _ in sources)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(files(), min_size=1, max_size=8),
    st.integers(100, 10_000),
    st.integers(5_000, 1_000_000),
    st.integers(1, 64),
)
def test_chunks_partition_the_input_and_cut_no_indivisible_file(
    specs: list[tuple[int, int, bool, int, tuple[int, ...]]], rows: int, size: int, slots: int
) -> None:
    sources = place(*specs)
    plan = list(cut(sources, rows=rows, bytes=size, slots=slots))
    check_partition(sources, plan)
    assert len(plan) <= splitter.MAX_CHUNKS
    borders = {chunk.span.start for chunk in plan}
    for each, _ in sources:
        inside = range(each.base + 1, each.base + each.extent)
        assert each.divisible or not any(border in inside for border in borders)


@given(st.integers(1, 10_000_000), st.integers(10_000, 100_000), st.integers(1, 32))
@settings(deadline=None)
def test_no_piece_is_larger_than_the_target_or_its_share_of_the_rest(
    size: int, target: int, slots: int
) -> None:
    sources = place(line_file(size, rows=1))
    plan = list(cut(sources, rows=10, bytes=target, slots=slots))
    left = size
    for chunk in plan:
        share = max(left / (2 * slots), target / 8)
        assert chunk.span.length <= min(target, share) + 1
        left -= chunk.span.length


def test_rows_and_bytes_both_bound_a_chunk() -> None:
    by_rows = list(cut(place(line_file(1_000_000, 1_000_000)), rows=1_000, bytes=1 << 30, slots=1))
    by_size = list(cut(place(line_file(1_000_000, 10)), rows=1_000, bytes=1_000, slots=1))
    assert by_rows[0].span.length == by_size[0].span.length == 1_000


def test_small_files_share_a_chunk() -> None:
    sources = place(*[line_file(100, 10)] * 1_000)
    plan = list(cut(sources, rows=1_000, bytes=1 << 20, slots=1))
    assert plan[0].span.length == 100 * 100
    assert len(plan) < 30
    assert all(chunk.span.start % 100 == 0 for chunk in plan), "small files stay whole"


def test_the_last_chunks_are_small() -> None:
    plan = list(cut(place(line_file(10_000_000, 1)), rows=1, bytes=100_000, slots=4))
    lengths = [chunk.span.length for chunk in plan]
    assert max(lengths) >= 90_000
    assert lengths[-1] <= 13_000
    assert lengths[-20] > 2 * lengths[-1]


def test_cuts_fall_on_row_groups_where_these_are_near_the_target() -> None:
    sources = place(row_groups(*[1_000] * 100))
    plan = list(cut(sources, rows=1_100, bytes=1 << 40, slots=1))
    assert all(chunk.span.start % 1_000 == 0 for chunk in plan[:90])


def test_a_row_group_much_larger_than_the_target_is_cut_evenly() -> None:
    plan = list(cut(place(row_groups(100_000, 100_000)), rows=10_000, bytes=1 << 40, slots=1))
    starts = [chunk.span.start for chunk in plan]
    assert starts[1] == 10_000
    assert 100_000 in starts


def test_too_many_chunks_are_made_coarser_unless_the_size_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(splitter, "MAX_CHUNKS", 50)
    sources = place(line_file(1_000_000, 100_000))
    assert len(list(cut(sources, rows=100, bytes=1 << 30, slots=2))) <= 50
    with pytest.raises(InvalidInput, match="TOO_MANY_CHUNKS") as refusal:
        cut(sources, rows=100, bytes=1 << 30, slots=2, fixed=True)
    suggested = int(refusal.value.hint.split()[2])
    assert list(cut(sources, rows=suggested, bytes=1 << 40, slots=2, fixed=True))


def test_a_small_job_is_one_chunk() -> None:
    assert len(list(cut(place(line_file(500, 10)), rows=65_536, bytes=16 << 20, slots=8))) == 1
