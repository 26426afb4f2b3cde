"""How large a batch should be: found by trying, kept, and lowered when memory does not do.

Pure: it is told what each batch cost and how long it took.
"""

from __future__ import annotations

from dataclasses import replace

from workers.engines.base import Budget

GAIN = 1.05
"""A doubled budget must compute at least this much more cost per second to be worth it."""
WINS, LOSSES = 7, 3
"""Doubling is kept after so many wins over the present budget, given up after so many losses."""
FULL = 0.75
"""A batch that uses less of its budget than this says nothing about it."""
LARGEST = 64
"""Never probe beyond this multiple of the budget that the engine proposed."""
PATIENCE, GROWTH = 50, 1.125
"""After an out-of-memory: grow by an eighth after so many good batches."""

_PATTERN = (False, True, True, False)


class BudgetTuner:
    """The budget of one engine on one device, over the life of a process.

    It probes by giving batches the present and the doubled budget in turn (small, large, large,
    small). Neighbours in the queue are about equally long, so that each pair is a fair comparison,
    and counting wins instead of averaging bears a busy machine.
    """

    def __init__(self, proposed: Budget, learned: int | None = None, fixed: bool = False) -> None:
        """Start at the engine's proposal, or where an earlier process had got to."""
        self._proposed = proposed
        self._max_cost = learned or proposed.max_cost
        self._probing = learned is None and not fixed
        self._too_much: int | None = None
        self._good = 0
        self._turn = 0
        self._rates: dict[bool, float] = {}
        self._wins = self._losses = 0

    @property
    def budget(self) -> Budget:
        """Bounds of the next batch."""
        trial = self._probing and _PATTERN[self._turn % 4]
        return replace(self._proposed, max_cost=self._max_cost * (2 if trial else 1))

    @property
    def learned(self) -> int | None:
        """The cost to start from next time; none while probing."""
        return None if self._probing else self._max_cost

    def succeeded(self, cost: int, seconds: float) -> None:
        """A batch of `cost` ran in `seconds`."""
        if self._probing:
            self._compare(cost, seconds)
        elif self._too_much is not None:
            self._regrow()

    def out_of_memory(self, cost: int) -> None:
        """A batch of `cost` did not fit, and not because of a single row."""
        self._probing = False
        self._too_much = min(cost, self._too_much or cost)
        self._max_cost = max(1, min(self._max_cost, self._too_much // 2))
        self._good = 0

    def _compare(self, cost: int, seconds: float) -> None:
        if cost < FULL * self.budget.max_cost:
            return
        self._rates[_PATTERN[self._turn % 4]] = cost / max(seconds, 1e-9)
        self._turn += 1
        if len(self._rates) < 2:
            return
        if self._rates[True] > GAIN * self._rates[False]:
            self._wins += 1
        else:
            self._losses += 1
        self._rates = {}
        self._decide()

    def _decide(self) -> None:
        if self._losses == LOSSES:
            self._probing = False
        elif self._wins == WINS:
            self._max_cost *= 2
            self._wins = self._losses = 0
            self._probing = self._max_cost * 2 <= self._proposed.max_cost * LARGEST

    def _regrow(self) -> None:
        assert self._too_much is not None
        self._good += 1
        if self._good == PATIENCE:
            self._good = 0
            self._max_cost = max(1, min(int(self._max_cost * GROWTH), self._too_much - 1))
