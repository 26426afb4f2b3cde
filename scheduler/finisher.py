"""Ends jobs: too many errors, out of time, or every chunk settled and ready to be published."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sqlalchemy import Connection

from millrace.db.session import Database
from millrace.failpoints import failpoint
from millrace.lifecycle import jobs, occupancy, queries
from millrace.lifecycle.queries import JobView, Progress
from millrace.types import JobState
from scheduler.patience import Patience

_SOON_SECONDS = 0.05
_YOUNG_SECONDS = 1.0
"""Whoever waits for a chunk that takes longer does not mind half a second."""
_UNPUBLISHED = frozenset({JobState.VALIDATING, JobState.QUEUED, JobState.RUNNING, JobState.PAUSED})


class Finisher:
    def __init__(self, database: Database, *, interval: float) -> None:
        self._database = database
        self._interval = interval
        self._patience = Patience()
        self._moved = False

    def tick(self, now: float | None = None) -> float:
        """Fail, expire or freeze each job that is due for it."""
        with self._database.read() as connection:
            moment = occupancy.clock(connection) if now is None else now
            unpublished = queries.jobs_in(connection, _UNPUBLISHED)
            settled = set(queries.ready_to_freeze(connection))
            closing = queries.are_closing(connection, _YOUNG_SECONDS, now=now)
        self._moved = False
        for job in unpublished:
            end = partial(self._end, job, settled=job.id in settled, moment=moment, now=now)
            self._patience.attempt(job.id, end)
        if self._moved:
            return 0.0
        return min(_SOON_SECONDS, self._interval) if closing else self._interval

    def _end(self, job: JobView, *, settled: bool, moment: float, now: float | None) -> None:
        move = self._due_move(job, settled=settled, moment=moment, now=now)
        if move is not None:
            failpoint("r.before_freeze")
            self._moved = self._database.transact(move) or self._moved
            failpoint("r.frozen")

    def _due_move(
        self, job: JobView, *, settled: bool, moment: float, now: float | None
    ) -> Callable[[Connection], bool] | None:
        failure = self._failure(job, settled) if settled or job.spec.error_threshold else None
        if failure is not None:
            code, reason = failure
            return partial(jobs.fail, job_id=job.id, code=code, reason=reason, now=now)
        if settled:
            return partial(jobs.freeze, job_id=job.id, now=now)
        if job.expires_at is not None and job.expires_at <= moment:
            return partial(jobs.expire, job_id=job.id, now=now)
        return None

    def _failure(self, job: JobView, settled: bool) -> tuple[str, str] | None:
        with self._database.read() as connection:
            return verdict(job, queries.progress(connection, job.id), settled)


def verdict(job: JobView, progress: Progress, settled: bool) -> tuple[str, str] | None:
    """Code and reason why a job has failed by its error rows, or nothing. Pure."""
    errors, tried = progress.rows_err, progress.rows_ok + progress.rows_err
    threshold = job.spec.error_threshold
    if threshold is not None and threshold.crossed(errors, tried):
        return "ERROR_THRESHOLD", f"{errors:,} of {tried:,} rows failed, more than was allowed"
    if settled and errors and not progress.rows_ok:
        return "ALL_ROWS_FAILED", f"all {errors:,} rows failed; the error records say why"
    return None
