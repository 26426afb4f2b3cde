"""A lease that is kept alive, and the moment from which it is not trusted any more."""

from __future__ import annotations

import threading

import pytest

from millrace.clock import Clock, SystemClock
from millrace.db.session import Database
from millrace.lifecycle import chunks, jobs
from millrace.types import Lease
from tests.clocks import FakeClock
from tests.faults import FaultyDatabase, Switch
from tests.lifecycle.stage import MUCH_LATER, NOW, A, chunk_row, claimed, running
from tests.waiting import until
from workers.heartbeat import Heartbeat
from workers.order import Progress

TTL = 60.0
MARGIN = 10.0
INTERVAL = 10.0


class SteppedClock(FakeClock):
    """`wait` lets a thread go on only when the test allows it one more step."""

    def __init__(self) -> None:
        super().__init__()
        self._steps = threading.Semaphore(0)
        self._idle = threading.Event()

    def wait(self, event: threading.Event, seconds: float) -> bool:
        self._idle.set()
        while not self._steps.acquire(timeout=0.01):
            if event.is_set():
                return True
        return super().wait(event, seconds)

    def step(self) -> None:
        """Have the waiting thread go on once, and come back to wait or to its end."""
        self._idle.wait(10)
        self._idle.clear()
        self._steps.release()
        self._idle.wait(1)


@pytest.fixture
def lease(database: Database) -> Lease:
    with database.write() as connection:
        return claimed(connection, running(connection))


def beating(database: Database, lease: Lease, clock: Clock) -> Heartbeat:
    return Heartbeat(database, [lease], TTL, INTERVAL, clock)


def test_renewals_extend_the_lease_and_tell_the_progress(database: Database, lease: Lease) -> None:
    before = chunk_row(database, lease.job_id).lease_until
    with Heartbeat(database, [lease], TTL, 0.01, SystemClock()) as beat:
        beat.turn_to(lease)
        beat.report(Progress(rows=7, in_flight=(3, 4)))
        until(lambda: chunk_row(database, lease.job_id).progress_rows == 7, "a renewal")
        row = chunk_row(database, lease.job_id)
        until(lambda: chunk_row(database, lease.job_id).lease_until > row.lease_until, "one more")
        assert not beat.lost
    assert row.lease_until > before
    assert row.in_flight == [3, 4]


@pytest.mark.parametrize("why", ["reaped", "cancelled"])
def test_a_lease_that_was_taken_away_is_lost(database: Database, lease: Lease, why: str) -> None:
    with Heartbeat(database, [lease], TTL, 0.01, SystemClock()) as beat:
        beat.turn_to(lease)
        with database.write() as connection:
            if why == "cancelled":
                jobs.cancel(connection, lease.job_id)
            else:
                chunks.release_owned(connection, A)
        until(lambda: beat.lost, "the heartbeat learns of it")


def test_an_absent_database_is_borne_until_the_deadline(database: Database, lease: Lease) -> None:
    """F31: the deadline counts from the start of the last renewal that succeeded."""
    clock, switch = SteppedClock(), Switch()
    with beating(FaultyDatabase(database, switch), lease, clock) as beat:
        clock.step()
        renewed = clock.now()
        switch.cut = True
        lost_at = None
        while lost_at is None:
            clock.step()
            if beat.lost:
                lost_at = clock.now()
        assert lost_at == renewed + TTL - MARGIN
        assert switch.calls >= 5


def test_a_database_that_comes_back_in_time_saves_the_lease(
    database: Database, lease: Lease
) -> None:
    """F30"""
    clock, switch = SteppedClock(), Switch()
    with beating(FaultyDatabase(database, switch), lease, clock) as beat:
        clock.step()
        switch.cut = True
        for _ in range(4):
            clock.step()
        assert not beat.lost
        switch.cut = False
        for _ in range(10):
            clock.step()
            assert not beat.lost


def test_a_renewal_that_hangs_keeps_no_trust(database: Database, lease: Lease) -> None:
    """A black hole in the network answers neither yes nor no."""
    clock = SteppedClock()
    with beating(database, lease, clock) as beat, database.write():
        clock.step()
        clock.advance(TTL - MARGIN - INTERVAL - 1)
        assert not beat.lost
        clock.advance(1)
        assert beat.lost


def test_those_that_wait_are_kept_too_and_lost_one_by_one(database: Database) -> None:
    """A lost member of a batch is dropped quietly; the running one goes on."""
    with database.write() as connection:
        job_id = running(connection, 10, 20, 30)
        first, second, third = chunks.claim_many(connection, job_id, [0, 1, 2], A, TTL, now=NOW)
    with Heartbeat(database, [first, second, third], TTL, 0.01, SystemClock()) as beat:
        beat.turn_to(first)
        until(lambda: chunk_row(database, job_id, 2).lease_until > MUCH_LATER, "all are renewed")
        with database.write() as connection:
            chunks.release(connection, second, infra=False, delay=0.0, reason="by somebody else")
        until(lambda: beat.is_lost(second), "the heartbeat learns of it")
        assert not beat.lost
        assert not beat.is_lost(third)
        beat.turn_to(second)
        assert not beat.lost


def test_what_has_ended_is_not_renewed_and_not_lost(database: Database) -> None:
    with database.write() as connection:
        job_id = running(connection, 10, 20)
        first, second = chunks.claim_many(connection, job_id, [0, 1], A, TTL, now=NOW)
    with Heartbeat(database, [first, second], TTL, 0.01, SystemClock()) as beat:
        beat.turn_to(first)
        beat.drop([first])
        with database.write() as connection:
            chunks.release(connection, first, infra=False, delay=0.0, reason="it has ended")
        until(lambda: chunk_row(database, job_id, 1).lease_until > MUCH_LATER, "a renewal")
        assert not beat.is_lost(first)
        assert not beat.lost


def test_a_deadline_that_has_passed_is_not_forgiven(database: Database, lease: Lease) -> None:
    """The child may have been killed by then, whatever a late renewal says."""
    clock = FakeClock()
    beat = beating(database, lease, clock)
    clock.advance(TTL - MARGIN)
    assert beat.lost
    beat._renew()
    assert beat.lost


def test_idle_seconds_count_from_the_last_progress(database: Database, lease: Lease) -> None:
    clock = FakeClock()
    beat = beating(database, lease, clock)
    clock.advance(5)
    assert beat.idle_seconds() == 5
    beat.report(Progress(rows=1))
    assert beat.idle_seconds() == 0
