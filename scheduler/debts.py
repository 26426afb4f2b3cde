"""What each of several has had so far, so that the one that has had least may be next. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping


class Debts:
    """Costs that were charged, per unit of weight.

    Who had nothing to do saves nothing up: whoever comes (back) is no better off than the one of
    its group that has had least.
    """

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        self._weights = weights or {}
        self._debts: dict[str, float] = {}
        self._groups: Mapping[str, Hashable] = {}

    def of(self, name: str) -> float:
        """What it has had; only differences mean anything."""
        return self._debts.get(name, 0.0)

    def price(self, name: str, cost: float) -> float:
        """What `cost` adds to its debt."""
        return cost / self._weights.get(name, 1.0)

    def charge(self, name: str, cost: float) -> None:
        """Make it pay for what it was given."""
        self._debts[name] = self.of(name) + self.price(name, cost)

    def gather(self, groups: Mapping[str, Hashable]) -> None:
        """Note who has something to do now, each with the group that it takes turns in."""
        levels: dict[Hashable, float] = {}
        for name, group in groups.items():
            if self._groups.get(name) == group:
                levels[group] = min(levels.get(group, self.of(name)), self.of(name))
        present = {
            name: max(self.of(name), levels.get(group, 0.0)) for name, group in groups.items()
        }
        # who has had more than anybody here is remembered, in case that it comes back
        most = max(present.values(), default=0.0)
        absent = {name: debt for name, debt in self._debts.items() if debt > most}
        self._debts, self._groups = absent | present, dict(groups)
