"""The verdict on a crash, for any span and any suspects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.lifecycle.retry import Bury, Retry, Split, after_crash, backoff
from millrace.types import Span

positions = st.integers(0, 1 << 41)
lengths = st.integers(2, 1 << 20)


def test_the_first_crash_is_bad_luck() -> None:
    assert after_crash(Span(0, 10), 1, [3]) == Retry()
    assert after_crash(Span(3, 4), 1, [3]) == Retry()


def test_a_single_row_is_buried_at_the_second() -> None:
    assert after_crash(Span(3, 4), 2, []) == Bury()


@pytest.mark.parametrize("suspects", [[], [2, 20]])
def test_without_a_suspect_nobody_is_blamed_where_proof_is_wanted(suspects: list[int]) -> None:
    for span in (Span(3, 4), Span(3, 20)):
        assert after_crash(span, 9, suspects, only_on_proof=True) == Retry()
    assert after_crash(Span(3, 4), 2, [3], only_on_proof=True) == Bury()
    assert after_crash(Span(3, 20), 2, [3], only_on_proof=True) == after_crash(Span(3, 20), 2, [3])


@pytest.mark.parametrize(
    ("suspects", "expected"),
    [
        ([], [(10, 15), (15, 20)]),
        ([12], [(10, 12), (12, 13), (13, 20)]),
        ([10], [(10, 11), (11, 20)]),
        ([19], [(10, 19), (19, 20)]),
        ([13, 12], [(10, 12), (12, 13), (13, 14), (14, 20)]),
        ([11, 14, 15, 17], [(10, 11), (11, 15), (15, 18), (18, 20)]),
        ([10, 19], [(10, 19), (19, 20)]),
        ([3, 12, 99], [(10, 12), (12, 13), (13, 20)]),
        ([12, 12], [(10, 12), (12, 13), (13, 20)]),
    ],
)
def test_where_it_is_cut(suspects: list[int], expected: list[tuple[int, int]]) -> None:
    assert after_crash(Span(10, 20), 2, suspects) == Split(tuple(Span(*each) for each in expected))


@given(positions, lengths, st.data())
def test_pieces_tile_the_span_and_are_smaller(start: int, length: int, data: st.DataObject) -> None:
    span = Span(start, start + length)
    suspects = data.draw(st.lists(st.integers(start - 2, start + length + 2), max_size=9))
    verdict = after_crash(span, 2, suspects)
    assert isinstance(verdict, Split)
    edges = [verdict.spans[0].start, *(piece.end for piece in verdict.spans)]
    assert edges == sorted(set(edges))
    assert (edges[0], edges[-1]) == (span.start, span.end)
    assert [piece.start for piece in verdict.spans] == edges[:-1]
    assert len(verdict.spans) > 1


@given(st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_the_wait_is_bounded(failures: int, draw: float) -> None:
    assert 0 <= backoff(failures, draw) < 60


def test_the_wait_grows() -> None:
    assert [backoff(failures, 0.5) for failures in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
