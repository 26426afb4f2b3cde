"""What two chunks have read must meet: whatever else is told names the chunks around the tear."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest

from millrace.datasets.base import UNKNOWN_EXTENT
from millrace.errors import UnsoundResults
from millrace.lifecycle.queries import SettledChunk
from millrace.types import ChunkState, Input, Reading, Span
from workers.seams import check_seams

FIRST = Input(0, "file:///a.jsonl", "jsonl", 100, "v", 0, 100, True)
SECOND = Input(1, "file:///b.jsonl", "jsonl", 50, "v", 100, 50, True)


def chunk(idx: int, *readings: Reading) -> SettledChunk:
    rows = sum(each.rows for each in readings)
    return SettledChunk(
        idx=idx,
        span=Span(idx, idx + 1),
        state=ChunkState.COMMITTED,
        attempt=1,
        rows_ok=rows,
        rows_err=0,
        part=None,
        error_part=None,
        readings=readings,
        fingerprint={},
        error_code=None,
        error_message=None,
        weight=1,
        kept=None,
    )


def torn(*chunks: SettledChunk, inputs: tuple[Input, ...] = (FIRST,)) -> list[int]:
    """The chunks that are told to be at fault."""
    with contextlib.suppress(UnsoundResults):
        check_seams(chunks, inputs)
        return []
    with pytest.raises(UnsoundResults, match=r"file:///.*ROWS_TORN") as fault:
        check_seams(chunks, inputs)
    return sorted(fault.value.chunks)


def whole() -> list[SettledChunk]:
    """Five chunks: rows at 0 and 20, none, at 60, one that killed at 80, none."""
    return [
        chunk(0, Reading(0, 2, 0, 60)),
        chunk(1, Reading(0, 0)),
        chunk(2, Reading(0, 1, 60, 80)),
        chunk(3, Reading(0, 1, 80, None)),
        chunk(4, Reading(0, 0)),
    ]


def test_rows_that_meet_are_whole() -> None:
    assert torn(*whole()) == []
    assert torn(chunk(0, Reading(0, 5, 0, 100))) == []


@pytest.mark.parametrize(
    ("idx", "reading", "fault"),
    [
        (0, Reading(0, 0), [0, 1, 2]),
        (0, Reading(0, 1, 20, 60), [0]),
        (0, Reading(0, 1, 0, 20), [0, 1, 2]),
        (1, Reading(0, 1, 40, 60), [0, 1]),
        (2, Reading(0, 0), [0, 1, 2, 3]),
        (2, Reading(0, 1, 60, 70), [2, 3]),
    ],
    ids=["none", "later", "too few", "too many", "none in the middle", "too few before a death"],
)
def test_a_row_that_is_missing_or_read_twice_names_its_neighbours(
    idx: int, reading: Reading, fault: list[int]
) -> None:
    chunks = whole()
    chunks[idx] = replace(chunks[idx], readings=(reading,))
    assert torn(*chunks) == fault


def test_the_last_row_is_missed_by_the_end_of_the_file() -> None:
    """As when a chunk of one row, the last one, was committed empty."""
    assert torn(chunk(0, Reading(0, 3, 0, 80)), chunk(1, Reading(0, 0))) == [0, 1]


def test_each_input_is_a_chain_of_its_own() -> None:
    both = (FIRST, SECOND)
    shared = chunk(1, Reading(0, 1, 60, 100), Reading(1, 1, 0, 25))
    last = chunk(2, Reading(1, 1, 25, 50))
    assert torn(chunk(0, Reading(0, 2, 0, 60)), shared, last, inputs=both) == []
    assert torn(chunk(0, Reading(0, 2, 0, 50)), shared, last, inputs=both) == [0, 1]
    late = chunk(2, Reading(1, 1, 30, 50))
    assert torn(chunk(0, Reading(0, 2, 0, 60)), shared, late, inputs=both) == [1, 2]


def test_what_nobody_can_tell_is_not_held_against_anybody() -> None:
    untold = chunk(0, Reading(0, 3)), chunk(1, Reading(0, 2))
    assert torn(*untold) == []
    compressed = replace(FIRST, extent=UNKNOWN_EXTENT)
    assert torn(chunk(0, Reading(0, 3, 0, 80)), inputs=(compressed,)) == []
    two = chunk(0, Reading(0, 3, 0, 80)), chunk(1, Reading(0, 1, 90, 99))
    assert torn(*two, inputs=(compressed,)) == [0, 1]
