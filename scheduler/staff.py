"""Who may take on chunks of a pool."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection

from millrace.lifecycle import occupancy, queries
from millrace.types import WorkerId
from scheduler.affinity import Holder

MISSED_BEATS = 3
"""A worker that has been silent for so many beats of the roster is not counted on."""


@dataclass(frozen=True, slots=True)
class Staff:
    """The live workers of a pool, and those of them that hold no chunk at this moment."""

    holders: Collection[Holder]
    idle: frozenset[WorkerId]

    @property
    def slots(self) -> int:
        """How many chunks they can compute at once."""
        return len(self.holders)


def of(connection: Connection, pool: str, beat: float) -> Staff:
    """The staff of a pool, where every worker shows itself each `beat` seconds."""
    holders = [
        Holder(each.id, frozenset(each.models))
        for each in queries.workers(connection, seen_within=MISSED_BEATS * beat)
        if each.pool == pool and not each.draining
    ]
    busy = occupancy.busy(connection) if holders else set[WorkerId]()
    return Staff(holders, frozenset(each.worker for each in holders) - busy)
