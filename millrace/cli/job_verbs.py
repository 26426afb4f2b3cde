"""What people may do to a job; twice is the same as once, a forbidden move is `Conflict`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection

from millrace.cli.console import readable, say, show_json
from millrace.cli.equipment import equipped
from millrace.cli.state import opened
from millrace.db.session import Database
from millrace.errors import UsageError
from millrace.front.retrying import retry_rows
from millrace.front.summary import summary_of
from millrace.lifecycle import jobs, queries
from millrace.lifecycle.transitions import JOB_TERMINAL
from millrace.types import JobId, JobState

_LOOK_SECONDS = 0.5

Verb = Callable[[Connection, JobId], JobState]


def pause(job: str, state: Path | None, *, as_json: bool) -> int:
    """running → paused."""
    return _change(job, state, jobs.pause, as_json=as_json)


def resume(job: str, state: Path | None, *, as_json: bool) -> int:
    """paused → running."""
    return _change(job, state, jobs.resume, as_json=as_json)


def cancel(job: str, state: Path | None, *, wait: bool, as_json: bool) -> int:
    """Any unpublished state → cancelling; with `wait`, return when no worker is at it any more."""
    return _change(job, state, jobs.stop, as_json=as_json, to_the_end=wait)


def retry(job: str, state: Path | None, *, errors: bool, output: str | None, as_json: bool) -> int:
    """failed, cancelled or expired → running; with `errors`, also what gave error rows.

    The error rows of a partial job are retried by another job, with its results in `output`.
    """
    if errors:
        with opened(state) as database:
            if _state_of(database, job) in (JobState.PARTIAL, JobState.SUCCEEDED):
                return _retry_rows(database, JobId(job), output, state, as_json=as_json)
    if output is not None:
        raise UsageError(
            "OPTION_INVALID",
            "--output is for the error rows of a job that is partial",
            f"leave it out, or see: millrace jobs show {job}",
        )

    def again(connection: Connection, job_id: JobId) -> JobState:
        return jobs.retry(connection, job_id, errors=errors)

    return _change(job, state, again, as_json=as_json)


def _retry_rows(
    database: Database, job_id: JobId, output: str | None, state: Path | None, *, as_json: bool
) -> int:
    child, news = retry_rows(database, job_id, output)
    if as_json:
        show_json(summary_of(database, child.id))
        return 0
    say(readable(news))
    if state is not None or not equipped().database_url:
        folder = readable(child.spec.output)
        say(f"it waits for the same millrace run as before, but with --output {folder}")
    return 0


def _state_of(database: Database, job: str) -> JobState:
    with database.read() as connection:
        return queries.known_job(connection, JobId(job)).state


def _change(
    job: str, state: Path | None, verb: Verb, *, as_json: bool, to_the_end: bool = False
) -> int:
    job_id = JobId(job)
    with opened(state) as database:
        now_is = _transact(database, verb, job_id)
        while to_the_end and now_is not in JOB_TERMINAL:
            time.sleep(_LOOK_SECONDS)
            now_is = _transact(database, verb, job_id)
        if as_json:
            show_json(summary_of(database, job_id))
        else:
            say(f"job {job_id} is {now_is}")
    return 0


def _transact(database: Database, verb: Verb, job_id: JobId) -> JobState:
    return database.transact(lambda connection: verb(connection, job_id))
