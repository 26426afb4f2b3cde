"""How many chunks a pool keeps rung, and where among them a new one belongs. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from millrace.lifecycle.occupancy import Rung
from millrace.types import JobId
from scheduler.fairness import Share

MOST_CHUNKS = 2_000
MOST_PER_SLOT = 512
LEAST_PER_SLOT = 2

_STEP = 1e-6
"""Seconds between two chunks that are rung in one go; see `chunks.ring_many`."""


@dataclass(frozen=True, slots=True)
class Placing:
    """So many more chunks of a job, in front of what was rung for at the time `at`, or last."""

    job_id: JobId
    chunks: int
    at: float | None


def size(slots: int, per_second: float, seconds: float, least: int = 0) -> int:
    """Chunks that keep so many slots busy for `seconds`, at the rate they were begun lately.

    It is `least` where that rate is known to tell too little.
    """
    slots = max(1, slots)
    most = min(MOST_CHUNKS, MOST_PER_SLOT * slots)
    return min(most, max(LEAST_PER_SLOT * slots, least, math.ceil(per_second * seconds)))


def placings(wanted: Iterable[Share], rung: Sequence[Rung]) -> Iterator[Placing]:
    """What is missing in the window, in order, where `wanted` is all of it from the start.

    Nothing that is rung already is moved. A new chunk goes right before the first of them that
    does not belong in front of it, so one that is more urgent, or of a tenant that has had less,
    overtakes a window that is full.
    """
    queue = sorted(rung, key=lambda each: each.at)
    there = Counter(each.job_id for each in queue)
    passed: Counter[JobId] = Counter()
    seen: Counter[JobId] = Counter()
    first = 0
    for share in wanted:
        present = min(share.chunks, there[share.job_id] - passed[share.job_id])
        passed[share.job_id] += present
        while first < len(queue) and seen[queue[first].job_id] < passed[queue[first].job_id]:
            seen[queue[first].job_id] += 1
            first += 1
        missing = share.chunks - present
        if missing:
            before = queue[first].at - missing * _STEP if first < len(queue) else None
            yield Placing(share.job_id, missing, before)
