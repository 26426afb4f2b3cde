"""Takes chunks back from workers that are gone, and ends jobs that were cancelled."""

from __future__ import annotations

from functools import partial

from millrace.db.session import Database
from millrace.failpoints import failpoint
from millrace.lifecycle import chunks, jobs, queries
from millrace.types import JobState
from scheduler.patience import Patience


class Rescuer:
    def __init__(self, database: Database, *, interval: float = 5.0, batch: int = 200) -> None:
        self._database = database
        self._interval = interval
        self._batch = batch
        self._patience = Patience()

    def tick(self, now: float | None = None) -> float:
        """Reap expired leases and close cancelled jobs that no worker touches any more."""
        failpoint("r.before_reap")
        reaped = self._database.transact(partial(chunks.reap, limit=self._batch, now=now))
        failpoint("r.reaped")
        with self._database.read() as connection:
            cancelling = queries.jobs_in(connection, {JobState.CANCELLING})
        for job in cancelling:
            close = partial(jobs.close_cancelled, job_id=job.id, now=now)
            self._patience.attempt(job.id, partial(self._database.transact, close))
        return 0.0 if len(reaped) == self._batch else self._interval
