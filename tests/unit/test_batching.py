from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from workers.batching import Places, RowQueue, batch_cost, plan
from workers.engines.base import Budget

rows = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 3)), max_size=200)
budgets = st.builds(
    Budget, st.integers(1, 64), st.integers(1, 2_000), st.sampled_from(["padded", "sum"])
)


def _columns(pairs: list[tuple[int, int]]) -> tuple[Places, Places]:
    table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    return table[:, 0], table[:, 1]


@given(rows, budgets)
def test_every_row_is_in_exactly_one_batch(pairs: list[tuple[int, int]], budget: Budget) -> None:
    cost, group = _columns(pairs)
    places = [place for batch in plan(cost, group, budget) for place in batch.tolist()]
    assert sorted(places) == list(range(len(pairs)))


@given(rows, budgets)
def test_no_batch_exceeds_the_budget(pairs: list[tuple[int, int]], budget: Budget) -> None:
    cost, group = _columns(pairs)
    for batch in plan(cost, group, budget):
        assert 1 <= len(batch) <= budget.max_rows
        assert len(set(group[batch].tolist())) == 1
        assert len(batch) == 1 or batch_cost(cost[batch], budget) <= budget.max_cost


@given(rows, budgets)
def test_batches_are_as_full_as_their_order_allows(
    pairs: list[tuple[int, int]], budget: Budget
) -> None:
    cost, group = _columns(pairs)
    batches = plan(cost, group, budget)
    for batch, after in pairwise(batches):
        with_one_more = np.append(batch, after[0])
        full = len(batch) == budget.max_rows
        other_group = group[batch[0]] != group[after[0]]
        assert full or other_group or batch_cost(cost[with_one_more], budget) > budget.max_cost


@given(rows, budgets)
def test_the_dearest_row_of_a_group_comes_first(
    pairs: list[tuple[int, int]], budget: Budget
) -> None:
    cost, group = _columns(pairs)
    order = np.concatenate([np.empty(0, int), *plan(cost, group, budget)]).astype(int)
    keys = list(zip(group[order].tolist(), (-np.maximum(cost, 1))[order].tolist(), strict=True))
    assert keys == sorted(keys)


def test_equal_rows_keep_their_order() -> None:
    same = np.ones(100, dtype=np.int64)
    batches = plan(same, same, Budget(30, 1_000, "sum"))
    assert [batch.tolist() for batch in batches] == [
        list(range(30)),
        list(range(30, 60)),
        list(range(60, 90)),
        list(range(90, 100)),
    ]


def test_the_budget_may_change_between_batches() -> None:
    queue = RowQueue(np.full(10, 5), np.zeros(10, dtype=np.int64))
    assert len(queue.take(Budget(100, 20, "padded"))) == 4
    assert len(queue.take(Budget(100, 10, "padded"))) == 2
    assert len(queue.take(Budget(100, 500, "padded"))) == 4
    assert len(queue.take(Budget(100, 500, "padded"))) == 0


def test_only_the_chosen_rows_are_queued() -> None:
    queue = RowQueue(np.array([1, 9, 5]), np.zeros(3, dtype=np.int64), np.array([0, 2]))
    assert queue.take(Budget(10, 100, "padded")).tolist() == [2, 0]
