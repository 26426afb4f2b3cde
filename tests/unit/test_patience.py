"""What has failed waits longer each time, and nobody else does."""

from __future__ import annotations

import pytest

from millrace.errors import Conflict
from scheduler.patience import Patience
from tests.clocks import FakeClock
from tests.faults import away


class Act:
    """Raises `fault` as long as there is one."""

    def __init__(self, fault: Exception | None = None) -> None:
        self.fault = fault
        self.times = list[float]()

    def __call__(self) -> None:
        self.times.append(0.0)
        if self.fault is not None:
            raise self.fault


@pytest.fixture
def patience(clock: FakeClock) -> Patience:
    return Patience(least=1.0, most=10.0, clock=clock.monotonic)


@pytest.mark.parametrize("fault", [RuntimeError("a bug"), Conflict("STATE_FORBIDS", "too late")])
def test_each_failure_doubles_the_wait_up_to_a_limit(
    patience: Patience, clock: FakeClock, fault: Exception
) -> None:
    act, waits = Act(fault), []
    for _ in range(6):
        patience.attempt("it", act)
        begun = clock.now()
        while not patience.is_due("it"):
            clock.advance(0.5)
        waits.append(clock.now() - begun)
    assert waits == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_it_is_left_alone_meanwhile_and_others_are_not(patience: Patience) -> None:
    bad, good = Act(RuntimeError("a bug")), Act()
    for _ in range(3):
        patience.attempt("bad", bad)
        patience.attempt("good", good)
    assert (len(bad.times), len(good.times)) == (1, 3)


def test_success_makes_good(patience: Patience, clock: FakeClock) -> None:
    act = Act(RuntimeError("a bug"))
    patience.attempt("it", act)
    clock.advance(1.0)
    act.fault = None
    patience.attempt("it", act)
    assert patience.is_due("it")
    assert patience.failed("it") == 1


def test_what_concerns_everybody_is_passed_on(patience: Patience) -> None:
    with pytest.raises(type(away("database"))):
        patience.attempt("it", Act(away("database")))
    assert patience.is_due("it")
