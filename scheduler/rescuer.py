"""Takes chunks back from workers that are gone, and ends jobs that were cancelled."""

from __future__ import annotations

from millrace.db.session import Database
from millrace.lifecycle import chunks, jobs, queries
from millrace.types import JobState


class Rescuer:
    def __init__(self, database: Database, *, interval: float = 5.0, batch: int = 200) -> None:
        self._database = database
        self._interval = interval
        self._batch = batch

    def tick(self, now: float) -> float:
        """Reap expired leases and close cancelled jobs that no worker touches any more."""
        with self._database.write() as connection:
            reaped = chunks.reap(connection, limit=self._batch)
        with self._database.read() as connection:
            cancelling = queries.jobs_in(connection, {JobState.CANCELLING})
        for job in cancelling:
            with self._database.write() as connection:
                jobs.close_cancelled(connection, job.id)
        return 0.0 if len(reaped) == self._batch else self._interval
