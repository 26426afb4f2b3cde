"""Jobs that can be planned, and what is said of those that cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
