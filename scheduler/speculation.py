"""Which chunks take so long that an idle worker should try them too. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from statistics import median

AT_LEAST_SECONDS = 3.0
"""Shorter waits are not worth computing anything twice."""


@dataclass(frozen=True, slots=True)
class Running:
    """A chunk in the hands of one worker; `offered` where another one is asked for already."""

    idx: int
    seconds: float
    weight: int
    offered: bool


def stragglers(
    running: Collection[Running],
    pace: Collection[float],
    *,
    usual_weight: float,
    factor: float,
    idle: int,
) -> list[int]:
    """The chunks to offer, at most as many as workers are idle, the slowest first.

    `pace` are the seconds that chunks of the job took that are done; one that is heavier than
    `usual_weight` may take longer in proportion.
    """
    if not pace or idle <= 0:
        return []
    usual = median(pace)
    late = {
        each.idx: each.seconds / _allowed(each, usual, usual_weight, factor) for each in running
    }
    slow = [each.idx for each in running if late[each.idx] > 1.0 and not each.offered]
    return sorted(slow, key=lambda idx: -late[idx])[:idle]


def _allowed(chunk: Running, usual: float, usual_weight: float, factor: float) -> float:
    heavier = max(1.0, chunk.weight / usual_weight) if usual_weight > 0 else 1.0
    return max(AT_LEAST_SECONDS, factor * usual * heavier)
