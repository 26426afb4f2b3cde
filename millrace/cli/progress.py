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

_LINE_SECONDS = 5.0
_RATE_WINDOW_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Where a job is at one moment; `share` of the input's bytes is settled, from 0 to 1."""

    rows: int
    errors: int
    share: float
    chunks_done: int
    chunks: int


class View(Protocol):
    def update(self, snapshot: Snapshot, at: float) -> None: ...

    def note(self, text: str) -> None: ...


class Pace:
    """Rows per second and time left, from snapshots of the last half minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Snapshot]] = deque()

    def add(self, snapshot: Snapshot, at: float) -> None:
        self._seen.append((at, snapshot))
        while at - self._seen[0][0] > _RATE_WINDOW_SECONDS and len(self._seen) > 2:
            self._seen.popleft()

    def rows_per_second(self) -> float:
        (then, first), (now, last) = self._seen[0], self._seen[-1]
        return (last.rows - first.rows) / (now - then) if now > then else 0.0

    def seconds_left(self) -> float | None:
        (then, first), (now, last) = self._seen[0], self._seen[-1]
        moved = last.share - first.share
        if moved <= 0 or now <= then:
            return None
        return (1.0 - last.share) * (now - then) / moved


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
    """``8 s``, ``3 min 20 s``, ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


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
