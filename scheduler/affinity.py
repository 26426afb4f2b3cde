"""Which worker a chunk is offered to first: one that holds its model already. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from millrace.types import WorkerId


@dataclass(frozen=True, slots=True)
class Holder:
    """A live worker and the models that it has loaded."""

    worker: WorkerId
    models: frozenset[str]


class Hints:
    """Hands out hints, at most `most` to a worker, so that no queue builds up before one.

    `given` are those that workers have not followed yet. Where a single model is wanted there is
    nothing to steer, and nobody is named.
    """

    def __init__(
        self,
        holders: Collection[Holder],
        wanted: Collection[str],
        given: Mapping[WorkerId, int],
        *,
        most: int,
    ) -> None:
        self._wanted = frozenset(wanted)
        self._holders = holders if len(self._wanted) > 1 else ()
        self._given = Counter(given)
        self._most = most

    def split(self, model: str, chunks: int) -> Iterator[tuple[int, WorkerId | None]]:
        """So many chunks as runs for one worker each; what is left at the end is for anybody.

        A model that nobody holds goes to workers that would give up none of the others for it.
        """
        fit = self._fit(model)
        even = -(-chunks // max(1, len(fit)))
        for worker in sorted(fit, key=lambda each: (self._given[each], each)):
            count = min(chunks, even, self._most - self._given[worker])
            if count > 0:
                self._given[worker] += count
                chunks -= count
                yield count, worker
        if chunks:
            yield chunks, None

    def _fit(self, model: str) -> list[WorkerId]:
        warm = [each.worker for each in self._holders if model in each.models]
        return warm or [each.worker for each in self._holders if not each.models & self._wanted]
