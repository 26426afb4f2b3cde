"""Which job of a tenant goes first. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

RAMP = 0.8
"""A job that needs more than this share of the time left to it jumps ahead."""


@dataclass(frozen=True, slots=True, order=True)
class Rank:
    """The smaller the sooner; jobs of equal rank take turns."""

    patient: bool
    """Whether its deadline is no reason to jump ahead."""
    place: int
    """The negative of its priority, one step further for every `ageing_seconds` of waiting."""
    deadline: float
    """Infinite where there is none."""


def rank(
    priority: int,
    *,
    waited: float,
    ageing: float,
    remaining: float,
    pace: float | None,
    deadline: float | None,
    now: float,
) -> Rank:
    """The rank of a job that has waited so many seconds with nobody working on it.

    `remaining` weight shrinks by `pace` per second (None: not known yet).
    """
    time_left = None if deadline is None else deadline - now
    return Rank(
        patient=not is_late(remaining, pace, time_left),
        place=-math.floor(priority + max(0.0, waited) / ageing),
        deadline=math.inf if deadline is None else deadline,
    )


def is_late(remaining: float, pace: float | None, time_left: float | None) -> bool:
    """Whether, at this pace, the work would take more than `RAMP` of the time left."""
    if time_left is None or pace is None:
        return False
    return remaining > RAMP * max(0.0, time_left) * pace
