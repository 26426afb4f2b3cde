"""Hints: who should have a chunk first."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from millrace.types import WorkerId
from scheduler.affinity import Hints, Holder

A, B, C = WorkerId("a"), WorkerId("b"), WorkerId("c")


def holders(**models: str) -> list[Holder]:
    """``a="xy"``: worker a holds the models x and y."""
    return [Holder(WorkerId(name), frozenset(held)) for name, held in models.items()]


def test_chunks_are_spread_over_those_who_hold_the_model() -> None:
    hints = Hints(holders(a="x", b="x", c="y"), "xy", {}, most=10)
    assert list(hints.split("x", 5)) == [(3, A), (2, B)]


def test_nobody_is_given_more_than_he_can_do() -> None:
    hints = Hints(holders(a="x", b="y"), "xy", {A: 3}, most=4)
    assert list(hints.split("x", 5)) == [(1, A), (4, None)]


def test_a_model_that_nobody_holds_displaces_none_that_is_wanted() -> None:
    hints = Hints(holders(a="x", b="old", c=""), "xyz", {}, most=1)
    assert list(hints.split("y", 1)) == [(1, B)]
    assert list(hints.split("z", 1)) == [(1, C)]
    assert list(hints.split("y", 1)) == [(1, None)]


def test_a_single_model_is_not_steered() -> None:
    hints = Hints(holders(a="x", b="x"), "x", {}, most=10)
    assert list(hints.split("x", 5)) == [(5, None)]


@given(
    st.dictionaries(st.sampled_from("abcd"), st.sets(st.sampled_from("xyz"))),
    st.lists(st.tuples(st.sampled_from("xyz"), st.integers(1, 20)), max_size=5),
    st.integers(1, 8),
)
def test_every_chunk_is_handed_out_once_and_nobody_gets_too_many(
    held: dict[str, set[str]], asked: list[tuple[str, int]], most: int
) -> None:
    hints = Hints(
        [Holder(WorkerId(w), frozenset(m)) for w, m in held.items()], "xyz", {}, most=most
    )
    given_to = Counter[WorkerId]()
    for model, chunks in asked:
        runs = list(hints.split(model, chunks))
        assert sum(count for count, _ in runs) == chunks
        for count, worker in runs:
            if worker is not None:
                given_to[worker] += count
    assert all(count <= most for count in given_to.values())
