"""Shares between tenants and turns between jobs, of any contenders that there may be."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from millrace.types import JobId
from scheduler.debts import Debts
from scheduler.fairness import Contender, Share, shares
from scheduler.ranking import Rank

EVERYDAY = Rank(patient=True, place=-5, deadline=float("inf"))

ranks = st.builds(
    Rank,
    patient=st.booleans(),
    place=st.integers(-9, 0),
    deadline=st.sampled_from([1.0, 2.0, float("inf")]),
)


def contender(name: str, tenant: str = "t", **changes: Any) -> Contender:
    asked: dict[str, Any] = {"rank": EVERYDAY, "chunks": 1_000, "cost": 1.0}
    return Contender(job_id=JobId(name), tenant=tenant, **asked | changes)


@st.composite
def crowds(draw: st.DrawFn) -> list[Contender]:
    return [
        contender(
            f"job-{n}",
            draw(st.sampled_from("abc")),
            rank=draw(ranks),
            chunks=draw(st.integers(0, 100)),
            cost=draw(st.floats(0.0, 1e6)),
            finalizing=draw(st.booleans()),
        )
        for n in range(draw(st.integers(0, 12)))
    ]


def counted(found: list[Share]) -> Counter[str]:
    total = Counter[str]()
    for share in found:
        total[share.job_id] += share.chunks
    return total


def available(each: Contender) -> int:
    return 1 if each.finalizing else each.chunks


@given(crowds(), st.integers(0, 300))
def test_the_window_is_filled_as_far_as_there_is_work(crowd: list[Contender], limit: int) -> None:
    found = counted(shares(crowd, Debts(), Debts(), limit))
    assert found.total() == min(limit, sum(map(available, crowd)))
    for each in crowd:
        assert 0 <= found[each.job_id] <= available(each)


@given(crowds(), st.integers(1, 300))
def test_within_a_tenant_the_higher_rank_goes_first(crowd: list[Contender], limit: int) -> None:
    order = [share.job_id for share in shares(crowd, Debts(), Debts(), limit)]
    of = {each.job_id: each for each in crowd}
    for tenant in "abc":
        turns = [of[name] for name in order if of[name].tenant == tenant]
        assert [each.finalizing for each in turns] == sorted(
            (each.finalizing for each in turns), reverse=True
        )
        kept = [each.rank for each in turns if not each.finalizing]
        assert kept == sorted(kept)


@given(
    st.dictionaries(st.sampled_from("abcd"), st.floats(0.1, 10.0), min_size=2),
    st.dictionaries(st.sampled_from("abcd"), st.integers(1, 1_000)),
    st.integers(1, 500),
)
def test_tenants_get_by_their_weights_what_chunks_cost(
    weights: dict[str, float], costs: dict[str, int], limit: int
) -> None:
    """No tenant is ahead of another by more than one lot."""
    crowd = [contender(name, name, cost=float(costs.get(name, 10))) for name in weights]
    found = counted(shares(crowd, Debts(weights), Debts(), limit))
    had = {each.job_id: found[each.job_id] * each.cost / weights[each.tenant] for each in crowd}
    lot = max(each.cost / weights[each.tenant] for each in crowd) * max(1, limit // 32)
    assert max(had.values()) - min(had.values()) <= lot * (1 + 1e-9)


@given(st.lists(st.integers(1, 8), min_size=1, max_size=20), st.integers(1, 4))
def test_small_jobs_are_not_kept_waiting_by_a_huge_one(sizes: list[int], cost: int) -> None:
    """It gets one chunk before the first of theirs at most, and none between them."""
    small = [contender(f"small-{n}", chunks=size) for n, size in enumerate(sizes)]
    huge = contender("huge", chunks=1_000_000, cost=float(cost))
    found = shares([huge, *small], Debts(), Debts(), 30)
    order = [share.job_id for share in found for _ in range(share.chunks)]
    for each in small:
        if each.job_id in order:
            assert order[: order.index(each.job_id)].count(JobId("huge")) <= 1


def test_jobs_of_equal_rank_take_turns_by_what_their_chunks_cost() -> None:
    found = counted(
        shares([contender("light"), contender("heavy", cost=3.0)], Debts(), Debts(), 20)
    )
    assert found == {"light": 15, "heavy": 5}


def test_who_was_away_has_saved_nothing_up() -> None:
    debts = Debts()
    debts.gather({"a": 0, "b": 0})
    debts.charge("a", 100.0)
    debts.charge("b", 60.0)
    debts.gather({"a": 0, "b": 0, "new": 0})
    assert debts.of("new") == debts.of("b") == 60.0


def test_who_has_had_more_still_has_when_it_comes_back() -> None:
    debts = Debts()
    debts.gather({"a": 0, "b": 0})
    debts.charge("b", 60.0)
    debts.gather({"a": 0})
    debts.gather({"a": 0, "b": 0})
    assert debts.of("b") - debts.of("a") == 60.0


def test_a_group_is_joined_at_its_level() -> None:
    """A job that has waited long enough to be of the same rank takes turns from then on."""
    debts = Debts()
    debts.gather({"old": "high", "low": "low"})
    debts.charge("old", 1_000.0)
    debts.gather({"old": "high", "low": "high"})
    assert debts.of("low") == debts.of("old")


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.0, 10.0)), max_size=50))
def test_who_is_forgotten_has_had_no_more_than_those_who_are_here(
    charges: list[tuple[str, float]],
) -> None:
    debts = Debts()
    for name, cost in charges:
        before = debts.of(name)
        debts.gather({name: 0})
        assert debts.of(name) >= before
        debts.charge(name, cost)
