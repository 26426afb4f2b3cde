"""Ringing beside the tick: a broker may be slow, broken or away."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from millrace.types import JobId, WorkerId
from scheduler.ringer import Ringer
from tests.faults import away
from tests.scheduling import Bell
from tests.waiting import until

CALL = [(JobId("job"), 0)]


class Moody(Bell):
    """A bell that may be told to fail, or to make others wait."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: Exception | None = None
        self.free = threading.Event()
        self.free.set()
        self.tried = 0
        self.closed = False

    def ring(
        self,
        chunks: Sequence[tuple[JobId, int]],
        *,
        pool: str = "default",
        worker: WorkerId | None = None,
    ) -> None:
        self.tried += 1
        assert self.free.wait(20)
        if self.fault is not None:
            raise self.fault
        super().ring(chunks, pool=pool, worker=worker)

    def has_tried(self, times: int) -> Callable[[], bool]:
        return lambda: self.tried >= times

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def bell() -> Moody:
    return Moody()


@pytest.fixture
def ringer(bell: Moody) -> Iterator[Ringer]:
    ringer = Ringer(bell)
    yield ringer
    bell.free.set()
    ringer.close()
    assert bell.closed


def test_calls_go_out_in_their_order(ringer: Ringer, bell: Moody) -> None:
    ringer.ring(CALL)
    ringer.ring(CALL, pool="gpu", worker=WorkerId("w"))
    until(lambda: len(bell.calls) == 2, "both are rung")
    assert bell.calls == [("default", None, CALL), ("gpu", WorkerId("w"), CALL)]


def test_a_broker_that_hangs_delays_nobody_and_piles_nothing_up(
    ringer: Ringer, bell: Moody
) -> None:
    """F25"""
    bell.free.clear()
    for _ in range(100_000):
        ringer.ring(CALL)
    bell.free.set()
    until(lambda: bell.calls, "it rings again")
    assert len(bell.calls) < 1_000


def test_an_outage_is_told_once_and_its_end_too(
    ringer: Ringer, bell: Moody, caplog: pytest.LogCaptureFixture
) -> None:
    """F20, F26"""
    caplog.set_level(logging.INFO, "scheduler.ringer")
    bell.fault = away("broker")
    for tried in range(1, 5):
        ringer.ring(CALL)
        until(bell.has_tried(tried), "it was tried")
    bell.fault = None
    ringer.ring(CALL)
    until(lambda: len(caplog.records) >= 2, "it is back")
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


def test_what_nobody_foresaw_does_not_end_it(
    ringer: Ringer, bell: Moody, caplog: pytest.LogCaptureFixture
) -> None:
    bell.fault = RuntimeError("a bug")
    ringer.ring(CALL)
    until(lambda: bell.tried, "it was tried")
    bell.fault = None
    ringer.ring(CALL)
    until(lambda: bell.calls, "it still rings")
