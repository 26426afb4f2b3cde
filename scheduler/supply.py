"""The chunks of each job that could be rung for, looked up once for every tick."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice

from millrace.types import JobId
from scheduler.window import Placing


class Supply:
    """`due` gives at most so many chunks of a job that nobody was called to lately."""

    def __init__(self, due: Callable[[JobId, int], list[int]]) -> None:
        self._due = due
        self._found: dict[JobId, list[int]] = {}
        self._taken: dict[JobId, Iterator[int]] = {}

    def shortage(self, placings: Iterable[Placing]) -> dict[JobId, int]:
        """How many chunks there are of each job that has fewer than these ask for."""
        asked = Counter[JobId]()
        for each in placings:
            asked[each.job_id] += each.chunks
        there = {job_id: len(self._of(job_id, count)) for job_id, count in asked.items()}
        return {job_id: there[job_id] for job_id, count in asked.items() if there[job_id] < count}

    def take(self, job_id: JobId, count: int) -> tuple[int, ...]:
        """The next chunks of a job, each only once."""
        rest = self._taken.setdefault(job_id, iter(self._found[job_id]))
        return tuple(islice(rest, count))

    def _of(self, job_id: JobId, count: int) -> list[int]:
        if len(self._found.get(job_id, ())) < count:
            self._found[job_id] = self._due(job_id, count)
        return self._found[job_id]
