"""Which rows go to the device together: sorted by cost, packed to a budget, largest first.

All of it is pure: no clock, no device, no I/O.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workers.engines.base import Budget

Places = NDArray[np.int64]
"""Places of rows among the prepared rows of one window."""


class RowQueue:
    """Rows waiting for the device, in the order (group, cost descending, place).

    Batches are taken one by one, so that the budget may change between any two.
    """

    def __init__(self, cost: Places, group: Places, places: Places | None = None) -> None:
        """Take up all rows, or those at `places`; `cost` and `group` have shape (rows,)."""
        chosen = np.arange(len(cost)) if places is None else places
        at_least_one = np.maximum(cost[chosen], 1)
        order = np.lexsort((chosen, -at_least_one, group[chosen]))
        self._places = chosen[order]
        self._cost = at_least_one[order]
        self._total = np.concatenate(([0], np.cumsum(self._cost)))
        borders = np.flatnonzero(np.diff(group[chosen][order])) + 1
        self._borders = np.append(borders, len(order))
        self._next = 0

    def take(self, budget: Budget) -> Places:
        """The next batch within `budget`; empty when none is left.

        A row that exceeds the budget by itself is a batch of one.
        """
        start = self._next
        if start == len(self._places):
            return self._places[start:]
        group_end = int(self._borders[np.searchsorted(self._borders, start, side="right")])
        rows = min(self._affordable(start, budget), budget.max_rows, group_end - start)
        self._next = start + max(1, rows)
        return self._places[start : self._next]

    def _affordable(self, start: int, budget: Budget) -> int:
        if budget.cost_model == "padded":
            return int(budget.max_cost // self._cost[start])
        within = self._total[start] + budget.max_cost
        return int(np.searchsorted(self._total, within, side="right")) - 1 - start


def plan(cost: Places, group: Places, budget: Budget) -> list[Places]:
    """All batches of a window under one budget; every place is in exactly one of them."""
    queue = RowQueue(cost, group)
    batches: list[Places] = []
    while (batch := queue.take(budget)).size:
        batches.append(batch)
    return batches


def batch_cost(cost: Places, budget: Budget) -> int:
    """What one batch costs under the budget's cost model; `cost` has one entry per row of it."""
    each = np.maximum(cost, 1)
    return int(each.max() * len(each)) if budget.cost_model == "padded" else int(each.sum())
