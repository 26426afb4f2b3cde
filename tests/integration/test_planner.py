"""Jobs that can be planned, and what is said of those that cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from millrace import datasets
from millrace.db.session import Database
from millrace.types import JobState
from scheduler.planner import Planner
from tests import jobs as stage


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
    assert Planner(database, slots=1, interval=7.0).tick(0.0) == 7.0
    job = stage.seen(database, job_id)
    assert (job.state, job.reason_code) == (JobState.FAILED, code)
    assert named in (job.reason or "")


def test_one_bad_job_keeps_no_other_from_its_plan(database: Database, tmp_path: Path) -> None:
    stage.written(tmp_path, stage.texts(3))
    bad = stage.submitted(database, tmp_path, input=f"file://{tmp_path}/none", output="file:///x")
    good = stage.submitted(database, tmp_path)
    Planner(database, slots=1, interval=1.0).tick(0.0)
    assert stage.seen(database, bad).state is JobState.FAILED
    assert stage.seen(database, good).state is JobState.QUEUED


def test_files_with_other_keys_in_another_order_are_one_dataset(
    database: Database, tmp_path: Path
) -> None:
    stage.written(tmp_path, ['{"id": 1, "text": "a"}'], ['{"note": "n", "text": "b", "id": 2}'])
    job_id = stage.submitted(database, tmp_path)
    Planner(database, slots=1, interval=1.0).tick(0.0)
    job = stage.seen(database, job_id)
    assert job.state is JobState.QUEUED, job.reason
    assert datasets.decode_schema(job.arrow_schema).names == ["id", "text", "note"]


def test_a_parquet_file_with_one_name_twice_is_refused(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "twice.parquet"
    ids = pa.array([1, 2])
    pq.write_table(pa.Table.from_arrays([ids, ids], names=["id", "id"]), path)
    job_id = stage.submitted(database, tmp_path, input=path.as_uri())
    Planner(database, slots=1, interval=1.0).tick(0.0)
    assert stage.seen(database, job_id).reason_code == "SCHEMA_MISMATCH"
