"""Several schedulers: one leads, the others stand by, and one that wakes too late does no harm."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Connection, select

from millrace.db import tables
from millrace.db.session import Database
from millrace.errors import Unavailable
from millrace.lifecycle import leadership
from millrace.settings import Settings
from millrace.types import JobId, JobState
from scheduler.dispatcher import Dispatcher
from scheduler.finisher import Finisher
from scheduler.leader import NAME, Leader, Led
from scheduler.planner import Planner
from scheduler.rescuer import Rescuer
from scheduler.runner import Service
from tests import jobs as stage
from tests.clocks import FakeClock
from tests.faults import FaultyDatabase, Switch
from tests.lifecycle import stage as plain
from tests.lifecycle.stage import history
from tests.postgres import PostgresServer
from tests.running import running as in_thread
from tests.scheduling import Bell, claim, commit, rung, running
from tests.waiting import until


@pytest.fixture
def database_url(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.database() as url:
        yield url


class Ticks:
    """A service that notes its ticks."""

    def __init__(self) -> None:
        self.given: list[float | None] = []

    def tick(self, now: float | None = None) -> float:
        self.given.append(now)
        return 1.0


def campaigning(database: Database, name: str, clock: FakeClock) -> tuple[Leader, Ticks, Led]:
    leader, ticks = Leader(database, name, seconds=15.0, clock=clock), Ticks()
    return leader, ticks, Led(ticks, leader)


def test_only_the_leader_ticks(database: Database, clock: FakeClock) -> None:
    first, first_ticks, first_led = campaigning(database, "first", clock)
    second, second_ticks, second_led = campaigning(database, "second", clock)
    assert first.tick() == second.tick() == 5.0
    first_led.tick()
    second_led.tick()
    assert (len(first_ticks.given), len(second_ticks.given)) == (1, 0)


def test_who_resigns_is_followed_at_once(database: Database, clock: FakeClock) -> None:
    first, *_ = campaigning(database, "first", clock)
    second, *_ = campaigning(database, "second", clock)
    first.tick()
    first.resign()
    second.tick()
    assert (first.leads(), second.leads()) == (False, True)


def test_who_is_silent_is_followed_when_its_time_is_over(
    database: Database, clock: FakeClock
) -> None:
    first, *_ = campaigning(database, "first", clock)
    second, *_ = campaigning(database, "second", clock)
    first.tick(1e9)
    second.tick(1e9 + 14)
    assert not second.leads()
    second.tick(1e9 + 16)
    assert second.leads()


def test_nobody_leads_longer_than_its_own_clock_allows(
    database: Database, clock: FakeClock
) -> None:
    """Frozen for a while, it rests until it has asked again."""
    leader, ticks, led = campaigning(database, "first", clock)
    leader.tick()
    clock.advance(15.1)
    led.tick()
    assert not ticks.given
    leader.tick()
    led.tick()
    assert len(ticks.given) == 1


def test_its_time_runs_from_before_the_question(database: Database, clock: FakeClock) -> None:
    class Slow(FaultyDatabase):
        def write(self, *, durable: bool = True) -> AbstractContextManager[Connection]:
            clock.advance(10.0)
            return super().write(durable=durable)

    leader = Leader(Slow(database, Switch()), "slow", seconds=15.0, clock=clock)
    leader.tick()
    clock.advance(5.1)
    assert not leader.leads()


def test_a_leader_without_a_database_goes_on_until_its_time_is_over(
    database: Database, clock: FakeClock
) -> None:
    switch = Switch()
    leader = Leader(FaultyDatabase(database, switch), "first", seconds=15.0, clock=clock)
    leader.tick()
    switch.cut = True
    with pytest.raises(Unavailable):
        leader.tick()
    assert leader.leads()
    clock.advance(16.0)
    assert not leader.leads()


class Freezing(FaultyDatabase):
    """Stops before its `at`-th transaction until it is thawed."""

    def __init__(self, real: Database, at: int) -> None:
        super().__init__(real, Switch())
        self._at = at
        self.frozen = threading.Event()
        self.thawed = threading.Event()

    @contextmanager
    def _through(
        self, begin: Callable[[], AbstractContextManager[Connection]]
    ) -> Iterator[Connection]:
        if self._switch.calls + 1 == self._at:
            self.frozen.set()
            assert self.thawed.wait(20)
        with super()._through(begin) as connection:
            yield connection


def services(database: Database, bell: Bell) -> list[Service]:
    return [
        Planner(database, slots=2, interval=1.0),
        Dispatcher(database, bell, Settings(), interval=1.0),
        Finisher(database, interval=1.0),
        Rescuer(database, interval=1.0),
    ]


def plain_verbs(database: Database, job_id: JobId) -> list[str]:
    return [verb for verb, *_ in history(database, job_id)]


def submitted(database: Database, folder: Path) -> JobId:
    stage.written(folder, stage.texts(20))
    return stage.submitted(database, folder, chunk_rows=10)


def queued(database: Database, folder: Path) -> JobId:
    job_id = submitted(database, folder)
    Planner(database, slots=2, interval=1.0).tick()
    return job_id


def done(database: Database, folder: Path) -> JobId:
    job_id = running(database)
    commit(database, job_id, 0, plain.result())
    return job_id


def lapsed(database: Database, folder: Path) -> JobId:
    job_id = running(database)
    claim(database, job_id, 0, ttl=-1.0)
    return job_id


@pytest.mark.parametrize("at", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("prepare", "which", "verbs"),
    [
        (submitted, 0, ["submit", "queue", "start"]),
        (queued, 1, ["submit", "queue", "start"]),
        (done, 2, ["submit", "queue", "start", "freeze"]),
        (lapsed, 3, ["submit", "queue", "start"]),
    ],
)
def test_a_scheduler_that_was_frozen_in_a_tick_does_no_harm(
    database: Database,
    tmp_path: Path,
    prepare: Callable[[Database, Path], JobId],
    which: int,
    verbs: list[str],
    at: int,
) -> None:
    """Meanwhile another one has done all of it; what was decided before goes on afterwards."""
    job_id = prepare(database, tmp_path)
    old = Freezing(database, at)
    bell = Bell()
    service = services(old, bell)[which]
    with in_thread(service.tick) as thread:
        until(lambda: old.frozen.is_set() or not thread.is_alive(), "it freezes, or has ended")
        for each in services(database, bell):
            each.tick()
        before = snapshot(database)
        old.thawed.set()
    assert plain_verbs(database, job_id) == verbs
    assert snapshot(database) == before
    assert len({idx for _, idx in rung(database)}) == len(rung(database))


def snapshot(database: Database) -> list[tuple[object, ...]]:
    """All that matters of jobs and chunks; being rung for once more does not."""
    job, chunk = tables.job.c, tables.chunk.c
    with database.read() as connection:
        jobs = connection.execute(select(job.id, job.state, job.run_epoch, job.arrow_schema))
        cut = select(chunk.idx, chunk.state, chunk.attempt, chunk.crash_count, chunk.start_pos)
        chunks = connection.execute(cut.order_by(chunk.job_id, chunk.idx))
        return [tuple(row) for row in [*jobs, *chunks]]


@contextmanager
def scheduling(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A real scheduler process."""
    code = (
        "import sys, threading; from millrace.settings import Settings;"
        "from scheduler.service import serve;"
        f"serve(Settings(database_url={url!r}, leader_seconds=1.5), threading.Event())"
    )
    process = subprocess.Popen([sys.executable, "-P", "-c", code], cwd=Path(__file__).parents[2])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def holder(database: Database) -> str:
    with database.read() as connection:
        found = connection.scalar(select(tables.leader.c.holder))
    return str(found)


def test_a_frozen_leader_is_replaced_and_stands_by_when_it_wakes(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    with scheduling(database_url) as first, scheduling(database_url) as second:
        until(lambda: str(first.pid) in holder(database) or str(second.pid) in holder(database), "")
        leads, follows = (
            (first, second) if f"-{first.pid}-" in holder(database) else (second, first)
        )
        leads.send_signal(signal.SIGSTOP)
        until(lambda: f"-{follows.pid}-" in holder(database), "the other one takes over")
        leads.send_signal(signal.SIGCONT)
        job_id = submitted(database, tmp_path)
        until(lambda: stage.seen(database, job_id).state is JobState.RUNNING, "it schedules")
        assert f"-{follows.pid}-" in holder(database)
        assert leads.poll() is None
    assert plain_verbs(database, job_id) == ["submit", "queue", "start"]


def test_a_campaign_is_won_once_per_term(database: Database) -> None:
    """Asked by many at once, the database lets one of them lead."""
    terms: list[int | None] = []

    def campaign(name: str) -> None:
        with database.write() as connection:
            terms.append(leadership.campaign(connection, NAME, name, 60.0))

    threads = [threading.Thread(target=campaign, args=(f"s{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(terms, key=str) == [1] + [None] * 7
