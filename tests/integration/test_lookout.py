"""When a worker looks for work: when rung, and by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from millrace.clock import SystemClock
from millrace.types import JobId
from tests.waiting import until
from workers.chunk_runner import ChunkRunner
from workers.lookout import Lookout


class Looks(ChunkRunner):
    """Notes each look; finds so many rung and due pieces of work."""

    def __init__(self, rung: int = 0, due: int = 0) -> None:
        self.rung = rung
        self.due = due
        self.looks: list[str] = []
        self.busy = threading.Event()
        self.free = threading.Event()
        self.free.set()

    def run_rung(self, job_id: JobId | None = None) -> bool:
        self.looks.append("rung")
        self.rung -= 1
        return self._work(self.rung >= 0)

    def run_due(self, job_id: JobId | None = None) -> bool:
        self.looks.append("due")
        self.due -= 1
        return self._work(self.due >= 0)

    def _work(self, found: bool) -> bool:
        self.busy.set()
        assert self.free.wait(20)
        return found


@contextmanager
def looking(runner: Looks, interval: float, fit: bool = True) -> Iterator[Lookout]:
    lookout = Lookout(runner, SystemClock(), interval, None, lambda: fit)
    lookout.start()
    yield lookout
    runner.free.set()
    assert lookout.stop(20.0)


def test_what_is_rung_goes_before_what_is_only_due() -> None:
    runner = Looks(rung=3, due=2)
    with looking(runner, 600.0):
        until(lambda: len(runner.looks) >= 6, "all is looked at")
    assert "due" not in runner.looks, "a scheduler that rings decides what is next"


def test_where_nobody_rings_it_helps_itself_without_a_pause() -> None:
    runner = Looks(due=50)
    with looking(runner, 600.0):
        until(lambda: runner.due < 0, "all that is due is done")
    assert runner.looks.count("due") == 51


def test_a_bell_is_answered_at_once() -> None:
    runner = Looks()
    with looking(runner, 600.0) as lookout:
        until(lambda: len(runner.looks) >= 2, "it has looked")
        runner.rung = 1
        lookout.ring()
        until(lambda: runner.rung < 1, "it looks again")


def test_who_worked_a_moment_ago_looks_again_soon() -> None:
    """Its bell may have gone to a worker that was busy."""
    runner = Looks(rung=1)
    with looking(runner, 600.0):
        until(lambda: len(runner.looks) >= 11, "it looks though nobody rings", seconds=6.0)
    assert "due" not in runner.looks


def test_bells_while_it_works_are_one_bell() -> None:
    runner = Looks(rung=1)
    runner.free.clear()
    with looking(runner, 600.0) as lookout:
        assert runner.busy.wait(20)
        for _ in range(10_000):
            lookout.ring()
        runner.free.set()
        until(lambda: len(runner.looks) >= 3, "it looks again")
        assert len(runner.looks) < 20


def test_forged_bells_do_not_keep_the_database_busy() -> None:
    runner, over = Looks(), threading.Event()
    with looking(runner, 600.0) as lookout:
        forger = threading.Thread(target=_ring_until, args=(lookout, over))
        forger.start()
        over.wait(1.0)
        looks = len(runner.looks)
        over.set()
        forger.join()
    assert looks < 50


def _ring_until(lookout: Lookout, over: threading.Event) -> None:
    while not over.is_set():
        lookout.ring()


def test_who_is_not_fit_does_not_look() -> None:
    """F42, or where the roster could not be told."""
    runner = Looks(rung=5, due=5)
    with looking(runner, 0.01, fit=False) as lookout:
        for _ in range(100):
            lookout.ring()
    assert runner.looks == []


@pytest.mark.parametrize("interval", [0.01])
def test_it_looks_by_itself_for_ever(interval: float) -> None:
    runner = Looks()
    with looking(runner, interval):
        until(lambda: runner.looks.count("due") > 5, "it goes on looking")
