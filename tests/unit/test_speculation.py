"""Which chunks are so slow that somebody else should try them too."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scheduler.speculation import AT_LEAST_SECONDS, Running, stragglers


def slow(*running: Running, pace: tuple[float, ...] = (4.0, 5.0, 6.0), idle: int = 9) -> list[int]:
    return stragglers(running, pace, usual_weight=100.0, factor=2.0, idle=idle)


def chunk(idx: int, seconds: float, weight: int = 100, offered: bool = False) -> Running:
    return Running(idx, seconds, weight, offered)


def test_twice_the_median_is_too_slow() -> None:
    assert slow(chunk(0, 9.9), chunk(1, 10.1)) == [1]


def test_a_heavier_chunk_may_take_longer_and_a_lighter_one_no_less() -> None:
    assert slow(chunk(0, 19.0, weight=200), chunk(1, 21.0, weight=200)) == [1]
    assert slow(chunk(0, 9.9, weight=1)) == []


def test_what_is_quick_anyway_is_not_done_twice() -> None:
    assert slow(chunk(0, AT_LEAST_SECONDS - 0.1), pace=(0.01,)) == []
    assert slow(chunk(0, AT_LEAST_SECONDS + 0.1), pace=(0.01,)) == [0]


def test_nothing_is_slow_before_anything_is_done() -> None:
    assert slow(chunk(0, 1e6), pace=()) == []


def test_nothing_is_offered_twice() -> None:
    assert slow(chunk(0, 100.0, offered=True), chunk(1, 50.0)) == [1]


@given(
    st.lists(
        st.builds(Running, st.integers(), st.floats(0, 1e6), st.integers(0, 10**9), st.booleans()),
        max_size=20,
        unique_by=lambda each: each.idx,
    ),
    st.lists(st.floats(0, 1e4), max_size=20),
    st.integers(0, 5),
)
def test_the_slowest_go_first_and_no_more_than_are_idle(
    running: list[Running], pace: list[float], idle: int
) -> None:
    found = stragglers(running, pace, usual_weight=10.0, factor=2.0, idle=idle)
    assert len(found) <= idle
    assert len(set(found)) == len(found)
    held = {each.idx: each for each in running}
    assert all(not held[idx].offered and held[idx].seconds > AT_LEAST_SECONDS for idx in found)
