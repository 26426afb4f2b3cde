"""How many chunks are rung, and where a new one goes among them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.lifecycle.occupancy import Rung
from millrace.types import JobId
from scheduler.fairness import Share
from scheduler.pace import Pace
from scheduler.window import placings, size

JOBS = [JobId(name) for name in "abc"]


@pytest.mark.parametrize(
    ("slots", "rate", "expected"),
    [(0, 0.0, 2), (1, 0.0, 2), (4, 0.0, 8), (4, 10.0, 20), (2, 1e9, 1_024), (50, 1e9, 2_000)],
)
def test_a_window_lasts_for_two_seconds_within_bounds(
    slots: int, rate: float, expected: int
) -> None:
    assert size(slots, rate, 2.0) == expected


def test_a_window_that_proved_too_small_is_larger_within_bounds() -> None:
    assert size(2, 1.0, 2.0, least=64) == 64
    assert size(2, 100.0, 2.0, least=64) == 200
    assert size(2, 1.0, 2.0, least=5_000) == 1_024


def test_a_pace_follows_what_happens_and_fades() -> None:
    pace = Pace(half_life=1.0)
    assert pace.per_second == 0.0
    for _ in range(10):
        pace.note(5, 0.5)
    assert pace.per_second == pytest.approx(10, rel=0.1)
    for _ in range(10):
        pace.note(0, 1.0)
    assert pace.per_second < 0.05


def test_a_pace_makes_nothing_of_a_single_moment() -> None:
    pace = Pace(half_life=1.0)
    pace.note(1, 0.001)
    assert pace.per_second < 1.1


def order(wanted: list[tuple[str, int]], rung: list[tuple[str, float]]) -> list[str]:
    """The order in which workers find everything once the new chunks are rung as well."""
    there = [Rung(JobId(job), idx, at, None) for idx, (job, at) in enumerate(rung)]
    found = placings([Share(JobId(job), count) for job, count in wanted], there)
    last = max((at for _, at in rung), default=0.0) + 1.0
    times = list(rung)
    for each in found:
        start = last if each.at is None else each.at
        times += [(each.job_id, start + k * 1e-6) for k in range(each.chunks)]
        last += 1e-3
    return [job for job, _ in sorted(times, key=lambda pair: pair[1])]


def test_what_is_missing_is_added_behind_what_is_there() -> None:
    assert order([("a", 4)], [("a", 1.0), ("a", 2.0)]) == list("aaaa")
    assert order([("a", 1), ("b", 1), ("a", 1), ("b", 1)], [("a", 1.0), ("b", 2.0)]) == list("abab")


def test_the_more_urgent_overtakes_a_full_window() -> None:
    full = [("a", float(n)) for n in range(4)]
    assert order([("b", 2), ("a", 2)], full) == list("bbaaaa")


def test_equals_take_turns_with_what_is_there() -> None:
    full = [("a", float(n)) for n in range(4)]
    assert order([("a", 1), ("b", 1), ("a", 1), ("b", 1)], full) == list("ababaa")


def test_turns_go_on_where_one_of_them_has_less_there() -> None:
    there = [("a", 1.0), ("b", 1.5), ("a", 2.0), ("a", 3.0)]
    wanted = [("a", 1), ("b", 1), ("a", 1), ("b", 1), ("a", 1)]
    assert order(wanted, there) == list("ababa")


@given(
    st.lists(st.tuples(st.sampled_from(JOBS), st.integers(1, 5)), max_size=10),
    st.lists(st.tuples(st.sampled_from(JOBS), st.floats(0, 10)), max_size=20),
)
def test_exactly_what_is_missing_is_added(
    wanted: list[tuple[JobId, int]], rung: list[tuple[JobId, float]]
) -> None:
    there = Counter(job for job, _ in rung)
    asked = Counter[JobId]()
    for job, count in wanted:
        asked[job] += count
    result = Counter(order([*wanted], [*rung]))
    for job in JOBS:
        assert result[job] == max(there[job], asked[job])


@given(
    st.lists(st.tuples(st.sampled_from(JOBS), st.integers(1, 5)), max_size=10),
    st.lists(st.tuples(st.sampled_from(JOBS), st.floats(0, 10)), max_size=20),
)
def test_a_job_that_has_nothing_there_is_placed_by_its_turn(
    wanted: list[tuple[JobId, int]], rung: list[tuple[JobId, float]]
) -> None:
    """In front of a newcomer are at most the chunks that its turn allows."""
    mine = JobId("new")
    result = order([*wanted, (mine, 1)], [(job, round(at)) for job, at in rung])
    ahead = result[: result.index(mine)]
    asked = Counter[JobId]()
    for job, count in wanted:
        asked[job] += count
    for job in JOBS:
        assert ahead.count(job) <= asked[job]
