"""Takes chunks back from workers that are gone, and ends jobs that were cancelled."""

from __future__ import annotations

from functools import partial

from millrace.db.session import Database
from millrace.failpoints import failpoint
from millrace.lifecycle import chunks, jobs, queries
from millrace.types import JobId, JobState
from scheduler.patience import Patience


class Rescuer:
    def __init__(self, database: Database, *, interval: float = 5.0, batch: int = 200) -> None:
        self._database = database
        self._interval = interval
        self._batch = batch
        self._patience = Patience()

    def tick(self, now: float | None = None) -> float:
        """Reap expired leases and close cancelled jobs that no worker touches any more.

        Each job by itself: one whose chunks cannot be judged keeps no other waiting.
        """
        failpoint("r.before_reap")
        with self._database.read() as connection:
            lapsed = chunks.lapsed(connection, now=now)
        taken: list[int] = []
        for job_id in lapsed:
            self._patience.attempt(f"leases of {job_id}", partial(self._reap, job_id, now, taken))
        failpoint("r.reaped")
        with self._database.read() as connection:
            cancelling = queries.jobs_in(connection, {JobState.CANCELLING})
        for job in cancelling:
            close = partial(jobs.close_cancelled, job_id=job.id, now=now)
            self._patience.attempt(job.id, partial(self._database.transact, close))
        return 0.0 if self._batch in taken else self._interval

    def _reap(self, job_id: JobId, now: float | None, taken: list[int]) -> None:
        reap = partial(chunks.reap, limit=self._batch, job_id=job_id, now=now)
        taken.append(len(self._database.transact(reap)))
