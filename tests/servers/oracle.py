"""What became of a job, told from outside: its files, and the history that the database kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from millrace.lifecycle.events import Event
from millrace.lifecycle.queries import JobView
from millrace.lifecycle.transitions import ChunkVerb, JobVerb
from millrace.verification import verify
from tests.jobs import results


@dataclass(frozen=True, slots=True)
class Findings:
    """Everything that must be nothing after whatever was done to a job."""

    lost: int
    """Rows without a result."""
    duplicated: int
    repeated: int
    """Chunks that were claimed, or committed again, after they were committed."""
    faults: tuple[str, ...]
    """What ``millrace verify`` complains of."""


CLEAN = Findings(0, 0, 0, ())


def findings(job: JobView, history: Iterable[Event], ids: Sequence[object]) -> Findings:
    """Look at a job that has succeeded; `ids` are the values of column ``id`` that it must have
    given back, in order.
    """
    found = Counter(row["id"] for row in results(job))
    return Findings(
        lost=sum(each not in found for each in ids),
        duplicated=sum(count - 1 for count in found.values()),
        repeated=sum(1 for _ in _repeated(history)),
        faults=verify(job.spec.output).faults,
    )


def _repeated(history: Iterable[Event]) -> Iterable[Event]:
    committed: set[int | None] = set()
    for event in history:
        if event.verb == JobVerb.RETRY:
            # asked for by a person, and it may reopen what had failed rows
            committed.clear()
        if event.verb in (ChunkVerb.CLAIM, ChunkVerb.COMMIT) and event.idx in committed:
            yield event
        if event.verb == ChunkVerb.COMMIT:
            committed.add(event.idx)
