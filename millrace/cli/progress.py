"""How far a run is: a live bar on a terminal, a line now and then elsewhere; on standard error."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from millrace.answers import JobAnswer
from millrace.lifecycle.transitions import CHUNK_SETTLED
from millrace.types import ChunkState

_LINE_SECONDS = 5.0
_DAYS_FROM_SECONDS = 48 * 3600
_RATE_WINDOW_SECONDS = 30.0
_EVIDENCE = ((5.0, 0.01), (60.0, 0.001))
"""Seconds and share of the job that must have gone by, one pair of them, for a word on its end."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where a job is at one moment; `share` of the input's bytes is done, from 0 to 1."""

    rows: int
    errors: int
    share: float
    chunks_done: int
    chunks: int

    @classmethod
    def of(cls, job: JobAnswer) -> Snapshot:
        """The snapshot that people are shown of a job as it stands."""
        chunks = {ChunkState(state): count for state, count in job.chunks.items()}
        return cls(
            rows=job.rows + job.rows_in_flight,
            errors=job.rows_err,
            share=_share(job),
            chunks_done=sum(chunks.get(state, 0) for state in CHUNK_SETTLED),
            chunks=sum(n for state, n in chunks.items() if state is not ChunkState.SPLIT),
        )


def _share(job: JobAnswer) -> float:
    """Rows of chunks that are not settled count as many bytes as a settled row on average."""
    in_flight = job.rows_in_flight * job.share / job.rows if job.rows else 0.0
    return min(1.0, job.share + in_flight)


class View(Protocol):
    def update(self, snapshot: Snapshot, at: float) -> None: ...

    def note(self, text: str) -> None: ...


class Pace:
    """Rows per second in the last half minute, and the time left by all that this session did."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Snapshot]] = deque()
        self._start: tuple[float, Snapshot] | None = None

    def add(self, snapshot: Snapshot, at: float) -> None:
        # until the first row moves, models are loaded; that says nothing of what follows
        if self._start is None or snapshot.rows <= self._start[1].rows:
            self._start = (at, snapshot)
        self._seen.append((at, snapshot))
        while at - self._seen[0][0] > _RATE_WINDOW_SECONDS and len(self._seen) > 2:
            self._seen.popleft()

    def rows_per_second(self) -> float:
        (then, first), (now, last) = self._seen[0], self._seen[-1]
        return max(0.0, (last.rows - first.rows) / (now - then)) if now > then else 0.0

    def seconds_left(self) -> float | None:
        """Nothing where too little was done to tell."""
        assert self._start is not None, "something was added"
        (then, first), (now, last) = self._start, self._seen[-1]
        elapsed, moved = now - then, last.share - first.share
        if not any(elapsed >= seconds and moved >= share for seconds, share in _EVIDENCE):
            return None
        return (1.0 - last.share) * elapsed / moved


def describe(snapshot: Snapshot, pace: Pace) -> str:
    """One line for people."""
    errors = f"{snapshot.errors:,} error{'' if snapshot.errors == 1 else 's'}"
    left = pace.seconds_left()
    return " · ".join(
        [
            f"{snapshot.rows:,} rows",
            f"{pace.rows_per_second():,.0f} rows/s",
            errors,
            f"block {snapshot.chunks_done:,} of {snapshot.chunks:,}",
            "time left unknown" if left is None else f"about {duration(left)} left",
        ]
    )


def duration(seconds: float) -> str:
    """``8 s``, ``3 min 20 s``, ``2 h 05 min``, ``7 days``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < _DAYS_FROM_SECONDS:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{round(whole / 86_400)} days"


class _Lines:
    def __init__(self) -> None:
        self._pace = Pace()
        self._said = float("-inf")

    def update(self, snapshot: Snapshot, at: float) -> None:
        self._pace.add(snapshot, at)
        if at - self._said >= _LINE_SECONDS:
            self._said = at
            self.note(f"{snapshot.share:4.0%}  {describe(snapshot, self._pace)}")

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


class _Bar:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._pace = Pace()
        self._task = progress.add_task("", total=1.0, line="starting")

    def update(self, snapshot: Snapshot, at: float) -> None:
        self._pace.add(snapshot, at)
        line = describe(snapshot, self._pace)
        self._progress.update(self._task, completed=snapshot.share, line=line)

    def note(self, text: str) -> None:
        self._progress.console.print(text, highlight=False)


@contextmanager
def progress_view() -> Iterator[View]:
    """A bar where standard error is a terminal, lines where it is not."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (
        SpinnerColumn(),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%  {task.fields[line]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bar(progress)
