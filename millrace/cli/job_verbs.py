"""What people may do to a job; twice is the same as once, a forbidden move is `Conflict`."""

from __future__ import annotations

import time

from millrace.answers import JobAnswer
from millrace.cli.console import readable, say, show_json
from millrace.cli.desk import Desk
from millrace.types import JOB_TERMINAL

_LOOK_SECONDS = 0.5


def tell(job: JobAnswer, *, as_json: bool) -> None:
    """Say in which state a job is now."""
    if as_json:
        show_json(job.model_dump(mode="json"))
    else:
        say(f"job {job.id} is {job.state}")


def cancel(desk: Desk, job_id: str, *, wait: bool, as_json: bool) -> None:
    """Any unpublished state → cancelling; with `wait`, return when no worker is at it any more."""
    job = desk.cancel(job_id)
    while wait and job.state not in JOB_TERMINAL:
        time.sleep(_LOOK_SECONDS)
        job = desk.cancel(job_id)
    tell(job, as_json=as_json)


def retry(desk: Desk, job_id: str, *, errors: bool, output: str | None, as_json: bool) -> None:
    """failed, cancelled or expired → running; with `errors`, also what gave error rows.

    The error rows of a partial job are retried by another job, with its results in `output`.
    """
    handed = desk.retry(job_id, errors=errors, output=output)
    if as_json:
        show_json(handed.job.model_dump(mode="json"))
        return
    for line in handed.news.splitlines():
        say(readable(line))
