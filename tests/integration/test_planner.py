"""Jobs that can be planned, and what is said of those that cannot."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millrace import datasets
from millrace.db.session import Database
from millrace.lifecycle.queries import JobView
from millrace.types import JobId, JobState
from scheduler.patience import Patience
from scheduler.planner import Planner
from tests import jobs as stage
from tests.faults import away
from tests.lifecycle.stage import history
from tests.waiting import until


@pytest.mark.parametrize(
    ("prepare", "changes", "code", "named"),
    [
        (None, {}, "INPUT_NOT_FOUND", "in"),
        ("", {}, "EMPTY_PREFIX", "in"),
        ('{"id": 1}', {"key": "none"}, "SCHEMA_MISMATCH", "none"),
    ],
)
def test_a_job_that_cannot_be_planned_fails_with_the_reason(
    database: Database,
    tmp_path: Path,
    prepare: str | None,
    changes: dict[str, Any],
    code: str,
    named: str,
) -> None:
    if prepare is not None:
        stage.written(tmp_path, *([[prepare]] if prepare else []))
    job_id = stage.submitted(database, tmp_path, **changes)
    assert Planner(database, slots=1, interval=7.0).tick() == 7.0
    job = stage.seen(database, job_id)
    assert (job.state, job.reason_code) == (JobState.FAILED, code)
    assert named in (job.reason or "")


def test_one_bad_job_keeps_no_other_from_its_plan(database: Database, tmp_path: Path) -> None:
    stage.written(tmp_path, stage.texts(3))
    bad = stage.submitted(database, tmp_path, input=f"file://{tmp_path}/none", output="file:///x")
    good = stage.submitted(database, tmp_path)
    Planner(database, slots=1, interval=1.0).tick()
    assert stage.seen(database, bad).state is JobState.FAILED
    assert stage.seen(database, good).state is JobState.QUEUED


class Troubled(Planner):
    """Comes upon what nobody foresaw, or gets stuck, in the job named."""

    def __init__(self, database: Database, job_id: JobId, threads: int = 0) -> None:
        super().__init__(database, slots=1, interval=1.0, threads=threads)
        self._patience = Patience(least=0.0)
        self._job_id = job_id
        self.stuck = threading.Event()
        self.freed = threading.Event()
        self.begun: list[JobId] = []

    def plan(self, job: JobView) -> None:
        self.begun.append(job.id)
        if job.id == self._job_id and not self._threads:
            raise RuntimeError("nobody thought of this")
        if job.id == self._job_id:
            self.stuck.set()
            assert self.freed.wait(20)
        super().plan(job)


def test_what_nobody_foresaw_ends_its_job_after_three_tries_and_delays_no_other(
    database: Database, tmp_path: Path
) -> None:
    stage.written(tmp_path, stage.texts(3))
    bad = stage.submitted(database, tmp_path, output="file:///x")
    good = stage.submitted(database, tmp_path)
    planner = Troubled(database, bad)
    planner.tick()
    assert stage.seen(database, bad).state is JobState.VALIDATING
    assert stage.seen(database, good).state is JobState.QUEUED
    planner.tick()
    planner.tick()
    job = stage.seen(database, bad)
    assert (job.state, job.reason_code) == (JobState.FAILED, "PLAN_FAILED")
    assert "nobody thought of this" in (job.reason or "")


def test_a_job_that_takes_long_to_plan_delays_neither_the_tick_nor_other_jobs(
    database: Database, tmp_path: Path
) -> None:
    stage.written(tmp_path, stage.texts(3))
    slow = stage.submitted(database, tmp_path, output="file:///x")
    quick = stage.submitted(database, tmp_path)
    planner = Troubled(database, slow, threads=2)
    planner.tick()
    until(planner.stuck.is_set, "it is under way")
    until(lambda: stage.seen(database, quick).state is JobState.QUEUED, "the other is planned")
    planner.tick()
    assert stage.seen(database, slow).state is JobState.VALIDATING
    planner.freed.set()
    until(lambda: stage.seen(database, slow).state is JobState.QUEUED, "it is planned in the end")
    assert [verb for verb, *_ in history(database, slow)] == ["submit", "queue"]
    assert sorted(planner.begun) == sorted([slow, quick]), "each only once"


def test_a_storage_that_is_away_is_tried_again(database: Database, tmp_path: Path) -> None:
    class Away(Planner):
        def plan(self, job: JobView) -> None:
            raise away("storage")

    stage.written(tmp_path, stage.texts(3))
    job_id = stage.submitted(database, tmp_path)
    assert Away(database, slots=1, interval=7.0).tick() == 7.0
    assert stage.seen(database, job_id).state is JobState.VALIDATING
    Planner(database, slots=1, interval=1.0).tick()
    assert stage.seen(database, job_id).state is JobState.QUEUED


def test_files_with_other_keys_in_another_order_are_one_dataset(
    database: Database, tmp_path: Path
) -> None:
    stage.written(tmp_path, ['{"id": 1, "text": "a"}'], ['{"note": "n", "text": "b", "id": 2}'])
    job_id = stage.submitted(database, tmp_path)
    Planner(database, slots=1, interval=1.0).tick()
    job = stage.seen(database, job_id)
    assert job.state is JobState.QUEUED, job.reason
    assert datasets.decode_schema(job.arrow_schema).names == ["id", "text", "note"]


def test_a_parquet_file_with_one_name_twice_is_refused(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "twice.parquet"
    ids = pa.array([1, 2])
    pq.write_table(pa.Table.from_arrays([ids, ids], names=["id", "id"]), path)
    job_id = stage.submitted(database, tmp_path, input=path.as_uri())
    Planner(database, slots=1, interval=1.0).tick()
    assert stage.seen(database, job_id).reason_code == "SCHEMA_MISMATCH"
