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
from millrace.settings import Settings
from millrace.types import JobId, JobState
from scheduler.finisher import Finisher
from scheduler.planner import Planner
from scheduler.rescuer import Rescuer
from scheduler.runner import Runner, Service
from tests import jobs as stage
from tests.clocks import FakeClock
from tests.faults import away
from tests.integration.conftest import StartChild
from tests.lifecycle.stage import history
from tests.scheduling import ME, Bell, dispatcher_of
from workers.chunk_runner import ChunkRunner
from workers.lookout import Lookout


class Counter:
    """Wants a tick every `every` seconds, and fails on the first `failures` of them."""

    def __init__(self, every: float, failures: int = 0) -> None:
        self._every = every
        self._failures = failures
        self.at: list[float] = []

    def tick(self, now: float) -> float:
        self.at.append(now)
        if len(self.at) <= self._failures:
            raise away("broker")
        return self._every


def test_the_loop_ticks_each_service_when_it_is_due(clock: FakeClock) -> None:
    quick, slow, failing = Counter(1.0), Counter(5.0), Counter(10.0, failures=1)
    runner, start = Runner([quick, slow, failing], clock), clock.now()
    while clock.now() < start + 10.5:
        clock.advance(runner.step() or 0.001)
    for counter, times in ((quick, 11), (slow, 3)):
        assert len(counter.at) == pytest.approx(times, abs=1)
    assert failing.at[1] - failing.at[0] == pytest.approx(2.0), "tried again soon"


def test_the_loop_ends_when_it_is_told(clock: FakeClock) -> None:
    stop = threading.Event()

    class Stopper:
        def tick(self, now: float) -> float:
            stop.set()
            return 1.0

    Runner([Stopper()], clock).run(stop)


def services(database: Database, bell: Doorbell) -> list[Service]:
    return [
        Planner(database, slots=2, interval=0.0),
        dispatcher_of(database, bell, window=8, re_ring=0.2, interval=0.0),
        Rescuer(database, interval=0.0),
        Finisher(database, interval=0.0),
    ]


def drive(database: Database, job_id: JobId, bell: Doorbell, seconds: float = 30.0) -> None:
    """Tick a scheduler until the job has ended."""
    limit, ticking = time.monotonic() + seconds, services(database, bell)
    while stage.seen(database, job_id).finished_at is None:
        assert time.monotonic() < limit, "the job does not end"
        for service in ticking:
            service.tick(time.time())


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


def test_a_lookout_survives_what_nobody_thought_of(clock: FakeClock) -> None:
    looked = threading.Semaphore(0)

    class Broken(ChunkRunner):
        def __init__(self) -> None:
            """Nothing works here."""

        def run_due(self, job_id: JobId | None = None) -> bool:
            looked.release()
            raise RuntimeError("nobody thought of this")

    lookout = Lookout(Broken(), clock, 1.0, None)
    lookout.start()
    assert looked.acquire(timeout=10)
    assert looked.acquire(timeout=10)
    lookout.stop()
