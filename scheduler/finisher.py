"""Ends jobs: too many errors, out of time, or every chunk settled and ready to be published."""

from __future__ import annotations

from millrace.db.session import Database
from millrace.lifecycle import jobs, queries
from millrace.lifecycle.queries import JobView, Progress
from millrace.types import JobState

_UNPUBLISHED = frozenset({JobState.VALIDATING, JobState.QUEUED, JobState.RUNNING, JobState.PAUSED})


class Finisher:
    def __init__(self, database: Database, *, interval: float) -> None:
        self._database = database
        self._interval = interval

    def tick(self, now: float) -> float:
        """Fail, expire or freeze each job that is due for it."""
        with self._database.read() as connection:
            unpublished = queries.jobs_in(connection, _UNPUBLISHED)
            settled = set(queries.ready_to_freeze(connection))
            failures = {
                job.id: verdict(job, queries.progress(connection, job.id), job.id in settled)
                for job in unpublished
                if job.id in settled or job.spec.error_threshold is not None
            }
        for job in unpublished:
            self._end(job, failures.get(job.id), settled=job.id in settled, now=now)
        return self._interval

    def _end(
        self, job: JobView, failure: tuple[str, str] | None, *, settled: bool, now: float
    ) -> None:
        expired = job.expires_at is not None and job.expires_at <= now
        if failure is None and not settled and not expired:
            return
        with self._database.write() as connection:
            if failure is not None:
                jobs.fail(connection, job.id, *failure)
            elif settled:
                jobs.freeze(connection, job.id)
            else:
                jobs.expire(connection, job.id)


def verdict(job: JobView, progress: Progress, settled: bool) -> tuple[str, str] | None:
    """Code and reason why a job has failed by its error rows, or nothing. Pure."""
    errors, tried = progress.rows_err, progress.rows_ok + progress.rows_err
    threshold = job.spec.error_threshold
    if threshold is not None and threshold.crossed(errors, tried):
        return "ERROR_THRESHOLD", f"{errors:,} of {tried:,} rows failed, more than was allowed"
    if settled and errors and not progress.rows_ok:
        return "ALL_ROWS_FAILED", f"all {errors:,} rows failed; the error records say why"
    return None
