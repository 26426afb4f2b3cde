"""Jobs that end: by their errors, by their deadline, or because all of it is done."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.db.session import Database
from millrace.lifecycle import jobs
from millrace.types import JobState
from scheduler.finisher import Finisher
from tests import jobs as stage
from tests.lifecycle import stage as plain
from tests.scheduling import claim, commit, running


def finished(database: Database) -> Finisher:
    return Finisher(database, interval=1.0)


def judged(database: Database, ok: int, bad: int, threshold: dict[str, Any]) -> str | None:
    """Why a job with this threshold ends after a chunk with so many good and bad rows."""
    with database.write() as connection:
        job_id = plain.submitted(connection, error_threshold=threshold)
        plain.planned(connection, job_id, 10_000, 20_000)
        jobs.start(connection, job_id)
    commit(database, job_id, 0, plain.result(ok, bad))
    finished(database).tick()
    job = stage.seen(database, job_id)
    assert job.state is (JobState.RUNNING if job.reason_code is None else JobState.FAILED)
    return job.reason_code


@pytest.mark.parametrize(
    ("ok", "bad", "threshold", "crossed"),
    [
        (90, 10, {"rows": 10}, False),
        (90, 11, {"rows": 10}, True),
        (90, 1, {"rows": 0}, True),
        (95, 5, {"percent": 5.0}, False),
        (94, 6, {"percent": 5.0}, True),
        (40, 40, {"percent": 5.0}, False),
        (40, 40, {"percent": 5.0, "min_rows": 80}, True),
        (999, 0, {"percent": 0.0}, False),
    ],
)
def test_the_threshold_ends_a_job_early(
    database: Database, ok: int, bad: int, threshold: dict[str, Any], crossed: bool
) -> None:
    assert judged(database, ok, bad, threshold) == ("ERROR_THRESHOLD" if crossed else None)


@pytest.mark.parametrize(
    ("ok", "bad", "state"),
    [
        (10, 0, JobState.FINALIZING),
        (9, 1, JobState.FINALIZING),
        (0, 10, JobState.FAILED),
        (0, 0, JobState.FINALIZING),
    ],
)
def test_a_settled_job_is_frozen_or_has_failed(
    database: Database, ok: int, bad: int, state: JobState
) -> None:
    job_id = running(database)
    rows = plain.result(ok, bad)
    commit(database, job_id, 0, rows)
    finished(database).tick()
    job = stage.seen(database, job_id)
    assert job.state is state
    assert job.reason_code == ("ALL_ROWS_FAILED" if state is JobState.FAILED else None)


def test_an_open_chunk_keeps_a_job_running(database: Database) -> None:
    job_id = running(database, 10, 20)
    commit(database, job_id, 0, plain.result())
    claim(database, job_id, 1)
    finished(database).tick()
    assert stage.seen(database, job_id).state is JobState.RUNNING


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.PAUSED, JobState.QUEUED])
def test_a_job_expires_at_its_deadline(database: Database, state: JobState) -> None:
    with database.write() as connection:
        job_id = plain.in_state(connection, state)  # its deadline lies decades back
    expires = stage.seen(database, job_id).expires_at
    assert expires is not None
    finished(database).tick(expires - 0.5)
    assert stage.seen(database, job_id).state is state
    finished(database).tick(expires + 0.5)
    job = stage.seen(database, job_id)
    assert (job.state, job.reason_code) == (JobState.EXPIRED, "DEADLINE")


def test_what_is_settled_at_the_deadline_is_published(database: Database) -> None:
    with database.write() as connection:
        job_id = plain.in_state(connection, JobState.RUNNING)
    commit(database, job_id, 0, plain.result())
    finished(database).tick()
    assert stage.seen(database, job_id).state is JobState.FINALIZING
