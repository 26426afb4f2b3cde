"""One attempt from claim to its end, with a real compute process that obeys scripted rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.db.session import Database
from millrace.lifecycle import events
from millrace.spec import ModelRef
from millrace.types import JobState
from tests import jobs as stage
from tests import rogues
from tests.integration.conftest import StartChild
from tests.lifecycle.stage import chunk_row
from tests.running import carry_out, computing, runner_of, running, verbs
from tests.waiting import gone


@pytest.mark.parametrize("script", ["::exit", "::segv"])
def test_a_row_that_kills_is_found_and_buried(
    database: Database, compute: StartChild, tmp_path: Path, script: str
) -> None:
    """I14, I15: crash → suspects → split → bury; every other row has its result."""
    stage.written(tmp_path, stage.texts(40, _17=script))
    job_id = stage.started(database, tmp_path)
    carry_out(database, runner_of(database, compute(), tmp_path), job_id)

    job = stage.seen(database, job_id)
    assert job.state is JobState.PARTIAL
    assert [row["id"] for row in stage.results(job)] == [n for n in range(40) if n != 17]
    record = stage.errors(job)[0]
    assert (record["row"], record["code"]) == (17, "WORKER_CRASHED")
    assert ("SIGSEGV" if script == "::segv" else "status 1") in record["message"]
    assert stage.progress(database, job_id).rows_err == 1
    with database.read() as connection:
        found = events.page(connection, job_id, limit=1_000)
    assert sum(each.verb == "crash" for each in found) <= 6


def test_a_row_that_raises_is_a_record(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    stage.written(tmp_path, stage.texts(5, _2="::raise"))
    job_id = stage.started(database, tmp_path)
    carry_out(database, runner_of(database, compute(), tmp_path), job_id)
    assert [each["code"] for each in stage.errors(stage.seen(database, job_id))] == [
        "PREDICT_ERROR"
    ]
    assert "crash" not in verbs(database, job_id)


def test_a_stall_is_killed_and_counted(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    """F12"""
    stage.written(tmp_path, stage.texts(3, _1="::hang"))
    job_id = stage.started(database, tmp_path)
    child = compute()
    child.start()
    first = child.pid
    assert first is not None
    runner = runner_of(database, child, tmp_path, stall_seconds=5.0)

    assert runner.run_due(job_id)

    row = chunk_row(database, job_id)
    assert (row.state, row.crash_count, row.infra_count) == ("pending", 1, 0)
    assert len(row.suspects) == 3
    assert gone(first)
    assert child.pid is not None, "the next process starts while nobody waits for it"


def test_progress_is_no_stall(database: Database, compute: StartChild, tmp_path: Path) -> None:
    stage.written(tmp_path, stage.texts(10))
    slow = {"scripted": True, "delay": 0.3, "max_rows": 1}
    job_id = stage.started(database, tmp_path, options=slow)
    child = compute()
    # so that starting does not count
    warm = stage.started(database, tmp_path, output=stage.spec_of(tmp_path).output + "-warm")
    runner_of(database, child, tmp_path).run_due(warm)
    runner = runner_of(database, child, tmp_path, stall_seconds=1.5)
    assert runner.run_due(job_id)
    assert chunk_row(database, job_id).state == "committed"


def test_trouble_around_is_released_and_not_counted(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    stage.written(tmp_path, stage.texts(3))
    job_id = stage.started(database, tmp_path)
    runner = runner_of(database, compute(rogues.stop_infra), tmp_path)

    assert runner.run_due(job_id)

    row = chunk_row(database, job_id)
    assert (row.state, row.crash_count, row.infra_count) == ("pending", 0, 1)
    assert row.not_before > 0
    with database.read() as connection:
        released = events.page(connection, job_id, limit=100)[-1]
    assert released.detail == {"reason": "NO_DISK: disk is full", "infra": True}


def test_a_lie_counts_as_a_crash(database: Database, compute: StartChild, tmp_path: Path) -> None:
    """F14: nothing is committed, and the process that lied is gone."""
    stage.written(tmp_path, stage.texts(3))
    job_id = stage.started(database, tmp_path)
    child = compute(rogues.boast)
    child.start()
    liar = child.pid
    assert liar is not None
    assert runner_of(database, child, tmp_path).run_due(job_id)
    row = chunk_row(database, job_id)
    assert (row.state, row.crash_count) == ("pending", 1)
    assert gone(liar)


_BROKEN = """
from millrace.predictor import Predictor

class Broken(Predictor):
    def load(self, device):
        raise RuntimeError("the weights are missing")

    def predict(self, batch):
        return batch
"""


def test_a_model_that_is_refused_twice_fails_the_job_once(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    stage.written(tmp_path, stage.texts(10))
    (tmp_path / "broken.py").write_text(_BROKEN)
    model = ModelRef(engine="python", location=f"{tmp_path}/broken.py:Broken")
    job_id = stage.started(database, tmp_path, model=model, options={}, chunk_rows=2)
    runner = runner_of(database, compute(), tmp_path)
    while runner.run_due(job_id):
        pass

    job = stage.seen(database, job_id)
    assert (job.state, job.reason_code) == (JobState.FAILED, "PREDICTOR_LOAD")
    assert "the weights are missing" in (job.reason or "")
    with database.read() as connection:
        found = [each.verb for each in events.page(connection, job_id)]
    assert found.count("claim") == 2, "a broken model must not burn every chunk"
    assert verbs(database, job_id, None).count("fail") == 1


def test_an_input_that_changed_fails_the_job(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    """F51"""
    stage.written(tmp_path, stage.texts(10))
    job_id = stage.started(database, tmp_path, chunk_rows=5)
    runner = runner_of(database, compute(), tmp_path)
    assert runner.run(job_id, 0)
    stage.written(tmp_path, stage.texts(11))

    assert runner.run(job_id, 1)

    job = stage.seen(database, job_id)
    assert (job.state, job.reason_code) == (JobState.FAILED, "INPUT_CHANGED")
    assert "0.jsonl" in (job.reason or "")
    assert chunk_row(database, job_id, 1).crash_count == 0


def test_a_drain_releases_without_counting(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    """F15"""
    stage.written(tmp_path, stage.texts(3, _1="::hang"))
    job_id = stage.started(database, tmp_path)
    runner = runner_of(database, compute(), tmp_path)
    with running(lambda: runner.run_due(job_id)):
        computing(database, job_id)
        runner.drain(0.0)

    row = chunk_row(database, job_id)
    assert (row.state, row.crash_count, row.infra_count) == ("pending", 0, 0)
    assert verbs(database, job_id)[-1] == "release"
    assert not runner.run_due(job_id), "nothing more is claimed"
    assert verbs(database, job_id)[-1] == "release"


def test_what_can_end_within_the_grace_does(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    stage.written(tmp_path, stage.texts(3, _1="::sleep 0.5"))
    job_id = stage.started(database, tmp_path)
    runner = runner_of(database, compute(), tmp_path)
    with running(lambda: runner.run_due(job_id)):
        computing(database, job_id)
        runner.drain(30.0)
    assert chunk_row(database, job_id).state == "committed"
