"""The plan of a retry: the parent's chunks, and where rows are missing in each."""

from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.errors import Conflict, InvalidInput
from millrace.lifecycle.queries import SettledChunk
from millrace.types import ChunkState, Kept, Part, Reading, Span
from scheduler import retrial
from scheduler.retrial import mirrored, runs_of

OUTPUT = "file:///out"


def settled(idx: int, rows_ok: int, rows_err: int, kept: Kept | None = None) -> SettledChunk:
    span = Span(10 * idx, 10 * idx + 10)
    part = Part(f"parts/{idx}.jsonl", rows_ok, 9, "ab" * 32) if rows_ok else None
    state = ChunkState.COMMITTED
    read = (Reading(0, rows_ok + rows_err),)
    return SettledChunk(
        *(idx, span, state, 1, rows_ok, rows_err, part, None, read, {"at": idx}, None, None),
        weight=7,
        kept=kept,
    )


@given(st.lists(st.booleans(), max_size=40))
def test_runs_tell_each_row_in_order(kept: list[bool]) -> None:
    runs = runs_of([row for row, each in enumerate(kept) if not each], len(kept))
    told = [at % 2 == 0 for at, length in enumerate(runs) for _ in range(length)]
    assert told == kept
    assert all(runs[1:-1])


@given(st.lists(st.lists(st.booleans(), max_size=8), min_size=1, max_size=6))
def test_each_chunk_is_there_once_more_with_its_gaps(rows: list[list[bool]]) -> None:
    parent = [settled(idx, sum(kept), len(kept) - sum(kept)) for idx, kept in enumerate(rows)]
    failed = [row for row, kept in enumerate(each for chunk in rows for each in chunk) if not kept]

    plan = list(mirrored(OUTPUT, parent, iter(failed)))

    assert [(each.span, each.weight) for each in plan] == [(chunk.span, 7) for chunk in parent]
    for planned, chunk, kept in zip(plan, parent, rows, strict=True):
        if chunk.part is None:
            assert planned.kept is None
            continue
        assert planned.kept is not None
        assert (planned.kept.part, planned.kept.span) == (chunk.part, chunk.span)
        assert sum(planned.kept.runs[::2]) == chunk.rows_ok
        borders = [0, *accumulate(planned.kept.runs)]
        assert all(
            kept[at]
            for start, end in zip(borders[::2], borders[1::2], strict=False)
            for at in range(start, end)
        )
        assert planned.kept.is_whole == all(kept)
        assert planned.kept.fingerprints == ({"at": chunk.idx},)


@pytest.mark.parametrize(
    "failed", [[], [1], [1, 12, 13], [1, 2, 12], [12, 13], [1, 12, 99], [-1, 12], [1, 9]]
)
def test_error_records_that_do_not_add_up_are_refused(failed: list[int]) -> None:
    parent = [settled(0, 9, 1), settled(1, 9, 1)]
    assert len(list(mirrored(OUTPUT, parent, iter([1, 12])))) == 2
    with pytest.raises(Conflict, match="PARENT_DAMAGED"):
        list(mirrored(OUTPUT, parent, iter(failed)))


def test_a_row_with_two_error_records_is_refused() -> None:
    with pytest.raises(Conflict, match="PARENT_DAMAGED"):
        list(mirrored(OUTPUT, [settled(0, 8, 2)], iter([1, 1])))


def test_who_computed_a_part_is_told_over_generations() -> None:
    [first] = mirrored(OUTPUT, [settled(0, 9, 1)], iter([3]))
    again = settled(0, 9, 1, first.kept)
    [second] = mirrored(OUTPUT, [again], iter([3]))
    assert second.kept is not None
    assert second.kept.fingerprints == ({"at": 0},)
    [third] = mirrored(OUTPUT, [settled(5, 9, 1, second.kept)], iter([3]))
    assert third.kept is not None
    assert third.kept.fingerprints == ({"at": 5}, {"at": 0})


def test_gaps_that_no_message_could_tell_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrial, "MAX_RUNS", 5)
    list(mirrored(OUTPUT, [settled(0, 9, 1)], iter([3])))
    with pytest.raises(InvalidInput, match="TOO_SCATTERED"):
        list(mirrored(OUTPUT, [settled(0, 7, 3)], iter([3, 5, 7])))
