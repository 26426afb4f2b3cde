"""The scheduler's loop, and all its services together with a worker that nobody rings."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.broker import Doorbell
from millrace.clock import SystemClock
from millrace.db.session import Database
from millrace.lifecycle import leadership
from millrace.settings import Settings
from millrace.types import JobId, JobState
from scheduler import ringer
from scheduler.leader import NAME
from scheduler.planner import Planner
from scheduler.runner import Runner, Service
from scheduler.service import serve
from scheduler.service import services as moving
from tests import jobs as stage
from tests.clocks import FakeClock
from tests.faults import FaultyDatabase, Switch, away
from tests.integration.conftest import StartChild
from tests.lifecycle.stage import chunk_row, history
from tests.running import running as in_thread
from tests.scheduling import ME, Bell, claim, rung, running
from tests.waiting import until
from workers.chunk_runner import ChunkRunner
from workers.lookout import Lookout


class Counter:
    """Wants a tick every `every` seconds, and the first of them end with these faults."""

    def __init__(self, clock: FakeClock, every: float, *faults: Exception) -> None:
        self._clock = clock
        self._every = every
        self._faults = [*faults]
        self.at: list[float] = []

    def tick(self, now: float | None = None) -> float:
        self.at.append(self._clock.now())
        if self._faults:
            raise self._faults.pop()
        return self._every


@pytest.mark.parametrize("fault", [away("broker"), RuntimeError("nobody thought of this")])
def test_the_loop_ticks_each_service_when_it_is_due(clock: FakeClock, fault: Exception) -> None:
    quick, slow = Counter(clock, 1.0), Counter(clock, 5.0)
    failing = Counter(clock, 10.0, fault)
    runner, start = Runner([quick, slow, failing], clock), clock.now()
    while clock.now() < start + 10.5:
        clock.advance(runner.step() or 0.001)
    for counter, times in ((quick, 11), (slow, 3)):
        assert len(counter.at) == pytest.approx(times, abs=1)
    assert failing.at[1] - failing.at[0] == pytest.approx(2.0), "tried again soon"


def test_the_loop_ends_when_it_is_told(clock: FakeClock) -> None:
    stop = threading.Event()

    class Stopper:
        def tick(self, now: float | None = None) -> float:
            stop.set()
            return 1.0

    Runner([Stopper()], clock).run(stop)


def services(database: Database, bell: ringer.Bell) -> list[Service]:
    settings = Settings(re_ring_seconds=0.2)
    return [
        Planner(database, slots=2, interval=0.0),
        *moving(database, bell, settings, look=0.0),
    ]


def drive(database: Database, job_id: JobId, bell: ringer.Bell, seconds: float = 30.0) -> None:
    """Tick a scheduler until the job has ended."""
    limit, ticking = time.monotonic() + seconds, services(database, bell)
    while stage.seen(database, job_id).finished_at is None:
        assert time.monotonic() < limit, "the job does not end"
        for service in ticking:
            service.tick()


@pytest.fixture
def worker(database: Database, compute: StartChild, tmp_path: Path) -> Iterator[ChunkRunner]:
    """A worker that nobody rings: its lookout does it all."""
    clock = SystemClock()
    settings = Settings(state=tmp_path, heartbeat_seconds=0.5)
    runner = ChunkRunner(database, compute(), ME, settings, clock)
    lookout = Lookout(runner, clock, 0.05, None)
    lookout.start()
    yield runner
    runner.drain(0.0)
    lookout.stop()


def _published_once(database: Database, job_id: JobId, rows: int) -> None:
    job = stage.seen(database, job_id)
    assert job.state is JobState.SUCCEEDED, job.reason
    assert [row["id"] for row in stage.results(job)] == list(range(rows))
    verbs = [verb for verb, *_ in history(database, job_id)]
    assert verbs == ["submit", "queue", "start", "freeze", "publish"]
    for idx in range(sum(stage.progress(database, job_id).chunks.values())):
        assert [v for v, *_ in history(database, job_id, idx)].count("commit") == 1


def test_without_a_broker_a_job_is_finished_all_the_same(
    database: Database, worker: ChunkRunner, tmp_path: Path
) -> None:
    """F20"""
    stage.written(tmp_path, stage.texts(60))
    job_id = stage.submitted(database, tmp_path, chunk_rows=10)
    drive(database, job_id, Doorbell(""))
    _published_once(database, job_id, 60)


def test_three_schedulers_do_no_harm(
    database: Database, worker: ChunkRunner, tmp_path: Path
) -> None:
    stage.written(tmp_path, stage.texts(60))
    ids = [
        stage.submitted(database, tmp_path, chunk_rows=10, output=f"file://{tmp_path}/{name}")
        for name in "abc"
    ]
    faults: list[BaseException] = []
    start = threading.Barrier(3)

    def schedule() -> None:
        try:
            start.wait(10)
            for job_id in ids:
                drive(database, job_id, Bell())
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=schedule) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    for job_id in ids:
        _published_once(database, job_id, 60)


def test_a_database_that_goes_away_is_waited_for(
    database: Database, clock: FakeClock, tmp_path: Path
) -> None:
    """F30"""
    switch = Switch()
    faulty = FaultyDatabase(database, switch)
    stage.written(tmp_path, stage.texts(3))
    job_id = stage.submitted(database, tmp_path)
    runner = Runner(services(faulty, Bell()), clock)
    switch.cut = True
    for _ in range(5):
        clock.advance(runner.step())
    assert stage.seen(database, job_id).state is JobState.VALIDATING
    switch.cut = False
    for _ in range(10):
        clock.advance(runner.step())
    assert stage.seen(database, job_id).state is JobState.RUNNING


@pytest.mark.parametrize("jump", [3_600.0, -3_600.0])
def test_the_clock_of_the_host_does_not_matter(
    database: Database, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """F65"""
    job_id = running(database, 10, 20, deadline_seconds=600.0)
    lease = claim(database, job_id, 0)
    ticking = services(database, Bell())
    for service in ticking:
        service.tick()
    told = chunk_row(database, job_id, 1).rung_at
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + jump)
    for service in ticking:
        service.tick()
    assert stage.seen(database, job_id).state is JobState.RUNNING
    assert chunk_row(database, job_id, 1).rung_at == told
    assert chunk_row(database, job_id, 0).token == lease.token


def test_a_whole_scheduler_starts_a_job_and_hands_over_at_the_end(
    database_url: str, database: Database, tmp_path: Path
) -> None:
    stage.written(tmp_path, stage.texts(3))
    job_id = stage.submitted(database, tmp_path)
    stop, settings = threading.Event(), Settings(database_url=database_url)
    with in_thread(lambda: serve(settings, stop)):
        until(lambda: rung(database) == [(job_id, 0)], "the chunk is rung")
        stop.set()
    with database.write() as connection:
        assert leadership.campaign(connection, NAME, "next", 15.0) == 2


def test_a_lookout_survives_what_nobody_thought_of(clock: FakeClock) -> None:
    looked = threading.Semaphore(0)

    class Broken(ChunkRunner):
        def __init__(self) -> None:
            """Nothing works here."""

        def run_rung(self, job_id: JobId | None = None) -> bool:
            looked.release()
            raise RuntimeError("nobody thought of this")

    lookout = Lookout(Broken(), clock, 1.0, None)
    lookout.start()
    assert looked.acquire(timeout=10)
    assert looked.acquire(timeout=10)
    lookout.stop()
