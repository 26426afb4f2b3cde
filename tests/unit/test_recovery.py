from __future__ import annotations

import logging

import pytest

from tests.clocks import FakeClock
from workers.order import Stopped
from workers.recovery import Recovery

FULL = Stopped(
    token="t", reason="infra", code="STORAGE_FULL", message="no room in /spool", hint="free some"
)


def test_a_fault_that_stays_is_given_longer_each_time(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """F56: the log says what to do."""
    recovery = Recovery(clock)
    waits = []
    for _ in range(9):
        recovery.begin(FULL)
        began = clock.now()
        while recovery.going_on:
            clock.advance(1.0)
        waits.append(clock.now() - began)
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert all(word in caplog.text for word in ("STORAGE_FULL", "/spool", "free some"))


def test_a_success_ends_it(clock: FakeClock) -> None:
    recovery = Recovery(clock)
    for _ in range(3):
        recovery.begin(FULL)
    recovery.end()
    clock.advance(20.0)
    recovery.begin(FULL)
    clock.advance(5.0)
    assert not recovery.going_on


@pytest.fixture(autouse=True)
def _errors_are_seen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
