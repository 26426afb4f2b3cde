"""Priority, ageing and deadlines."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.ranking import Rank, is_late, rank

NOW = 1_000.0


def ranked(priority: int = 5, **changes: Any) -> Rank:
    asked: dict[str, Any] = {
        "waited": 0.0,
        "ageing": 600.0,
        "remaining": 100.0,
        "pace": 1.0,
        "deadline": None,
        "now": NOW,
    }
    return rank(priority, **asked | changes)


@pytest.mark.parametrize(
    ("sooner", "later"),
    [
        ({"priority": 6}, {"priority": 5}),
        ({"priority": 5, "waited": 600.0}, {"priority": 5, "waited": 599.0}),
        ({"priority": 0, "waited": 6_000.0}, {"priority": 9}),
        ({"deadline": NOW + 1_000}, {}),
        ({"deadline": NOW + 1_000}, {"deadline": NOW + 2_000}),
        ({"priority": 6}, {"deadline": NOW + 1_000}),
        ({"priority": 0, "deadline": NOW + 124}, {"priority": 9}),
        ({"priority": 9}, {"priority": 0, "deadline": NOW + 126}),
        ({"priority": 0, "deadline": NOW - 5}, {"priority": 9}),
    ],
)
def test_who_goes_first(sooner: dict[str, Any], later: dict[str, Any]) -> None:
    assert ranked(**sooner) < ranked(**later)


def test_jobs_that_differ_by_less_than_a_step_take_turns() -> None:
    assert ranked(waited=10.0) == ranked(waited=500.0)


@given(st.floats(0, 1e9), st.floats(0.001, 1e6), st.floats(0, 1e6), st.floats(0, 1e6))
def test_less_time_never_makes_a_job_less_late(
    remaining: float, pace: float, one: float, other: float
) -> None:
    assert is_late(remaining, pace, min(one, other)) >= is_late(remaining, pace, max(one, other))


@pytest.mark.parametrize(("pace", "left"), [(None, 10.0), (1.0, None)])
def test_nothing_is_late_as_long_as_nothing_is_known(
    pace: float | None, left: float | None
) -> None:
    assert not is_late(math.inf, pace, left)
