"""A worker as a process: signals, bells, the roster, and tables of another version."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from millrace import topics
from millrace.broker import Doorbell
from millrace.db import migrations
from millrace.db.session import Database
from millrace.lifecycle import jobs, queries
from millrace.lifecycle.views import WorkerView
from millrace.types import JobState
from tests import jobs as stage
from tests.integration.conftest import StartChild
from tests.lifecycle.stage import chunk_row
from tests.running import computing, runner_of, verbs
from tests.servers.broker import Valkey
from tests.waiting import gone, until

QUICK = {
    "POLL_SECONDS": "0.2",
    "SEEN_SECONDS": "0.2",
    "HEARTBEAT_SECONDS": "0.1",
    "DEVICE": "cpu",
    "POOL": "default",
}


@contextmanager
def worker(tmp_path: Path, name: str = "w", **settings: str) -> Iterator[psutil.Popen]:
    asked = {**QUICK, "STATE": str(tmp_path / "state"), **settings}
    with (tmp_path / f"{name}.log").open("wb") as log:
        process = psutil.Popen(
            [sys.executable, "-P", "-m", "workers", "--id", name],
            cwd=Path(__file__).parents[2],
            env={**os.environ, **{f"MILLRACE_{key}": value for key, value in asked.items()}},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)


def said(tmp_path: Path, name: str = "w") -> str:
    return (tmp_path / f"{name}.log").read_text()


def roster(database: Database) -> list[WorkerView]:
    with database.read() as connection:
        return queries.workers(connection)


def test_it_comes_is_seen_with_what_it_holds_and_goes(database: Database, tmp_path: Path) -> None:
    stage.written(tmp_path, stage.texts(3))
    job_id = stage.started(database, tmp_path)
    with worker(tmp_path) as process:
        until(lambda: chunk_row(database, job_id).state == "committed", "it works")
        until(lambda: roster(database)[0].models == ("echo",), "it tells what it holds")
        [view] = roster(database)
        assert (view.id, view.pid, view.pool, view.device) == ("w", process.pid, "default", "cpu")
        assert view.version
        before = view.seen_at
        until(lambda: roster(database)[0].seen_at > before, "it is seen again")
        process.terminate()
        assert process.wait(20) == 0
    assert roster(database) == []


def test_an_idle_worker_leaves_at_once(database: Database, tmp_path: Path) -> None:
    with worker(tmp_path, POLL_SECONDS="600", GRACE_SECONDS="60") as process:
        until(lambda: roster(database), "it is there")
        began = time.monotonic()
        process.terminate()
        assert process.wait(20) == 0
    assert time.monotonic() - began < 5


def test_sigterm_lets_what_runs_end(database: Database, tmp_path: Path) -> None:
    """F15"""
    stage.written(tmp_path, stage.texts(3, _1="::sleep 1.5"))
    job_id = stage.started(database, tmp_path)
    with worker(tmp_path) as process:
        computing(database, job_id)
        process.terminate()
        assert process.wait(20) == 0
    assert verbs(database, job_id) == ["claim", "commit"]


def test_a_job_is_published_while_a_chunk_of_another_takes_its_time(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    """A small job that is done waits for nobody."""
    for name, first in (("long", "::hang"), ("done", "text")):
        stage.written(tmp_path / name, stage.texts(1, _0=first))
    done = stage.started(database, tmp_path / "done")
    assert runner_of(database, compute(), tmp_path).run_due(done)
    long = stage.started(database, tmp_path / "long")
    with worker(tmp_path):
        computing(database, long)
        with database.write() as connection:
            assert jobs.freeze(connection, done)
        until(lambda: stage.seen(database, done).state is JobState.SUCCEEDED, "it is published")
    assert chunk_row(database, long).state == "leased"


def test_the_grace_ends(database: Database, tmp_path: Path) -> None:
    stage.written(tmp_path, stage.texts(3, _1="::hang"))
    job_id = stage.started(database, tmp_path)
    with worker(tmp_path, GRACE_SECONDS="0.5") as process:
        computing(database, job_id)
        process.terminate()
        assert process.wait(20) == 0
    row = chunk_row(database, job_id)
    assert (row.state, row.crash_count, row.infra_count) == ("pending", 0, 0)


@pytest.mark.parametrize("storm", [2, 200])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_releases_and_leaves(
    database: Database, tmp_path: Path, number: signal.Signals, storm: int
) -> None:
    """F16"""
    stage.written(tmp_path, stage.texts(3, _1="::hang"))
    job_id = stage.started(database, tmp_path)
    with worker(tmp_path, GRACE_SECONDS="600") as process:
        computing(database, job_id)
        children = process.children(recursive=True)
        process.send_signal(number)
        until(lambda: roster(database)[0].draining, "it drains")
        for _ in range(storm - 1):
            if process.poll() is None:
                process.send_signal(number)
        assert process.wait(20) == 0
    row = chunk_row(database, job_id)
    assert (row.state, row.crash_count, row.infra_count) == ("pending", 0, 0)
    until(lambda: all(gone(child.pid) for child in children), "nothing is left behind")
    assert "Traceback" not in said(tmp_path)


def test_tables_of_another_version_are_left_alone(database: Database, tmp_path: Path) -> None:
    """F42: an old worker beside a migrated database claims nothing and says why."""
    stage.written(tmp_path, stage.texts(3))
    job_id = stage.started(database, tmp_path)
    revision = _set_revision(database, "9999")
    with worker(tmp_path) as process:
        until(lambda: "claims nothing" in said(tmp_path), "it says so")
        assert chunk_row(database, job_id).state == "pending"
        assert said(tmp_path).count("claims nothing") == 1
        _set_revision(database, revision)
        until(lambda: chunk_row(database, job_id).state == "committed", "it works after all")
        process.terminate()
        assert process.wait(20) == 0


def _set_revision(database: Database, revision: str) -> str:
    with database.write() as connection:
        before = connection.scalar(text("SELECT version_num FROM alembic_version"))
        connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})
    return str(before)


def test_it_waits_for_tables_that_are_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    url = f"sqlite:///{tmp_path / 'state' / 'late.db'}"
    with worker(tmp_path, DATABASE_URL=url) as process:
        until(lambda: "claims nothing" in said(tmp_path), "it has looked")
        assert process.poll() is None
        migrations.upgrade(url)
        late = Database.connect(url)
        until(lambda: roster(late), "it has found its way")
        late.close()
        process.terminate()
        assert process.wait(20) == 0


def test_bells_that_come_while_it_works_do_not_pile_up(
    database: Database, tmp_path: Path, valkey: Valkey
) -> None:
    """The queue is empty while a chunk takes its time."""
    stage.written(tmp_path, stage.texts(3, _1="::hang"))
    job_id = stage.started(database, tmp_path)
    bell = Doorbell(valkey.url)
    with worker(tmp_path, BROKER_URL=valkey.url, GRACE_SECONDS="0"):
        computing(database, job_id)
        bell.ring([(job_id, 0)] * 500)
        until(lambda: valkey.command("LLEN", topics.queue("default")) == ":0", "all are heard")
        assert chunk_row(database, job_id).state == "leased"
    bell.close()
