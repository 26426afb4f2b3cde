"""Rings workers for chunks that are due, a small window at a time.

The window keeps the broker nearly empty, so that a new job waits for seconds and not for
everything that was queued before it. A ring is a hint: what nobody claimed is rung again, and
idle workers look by themselves.
"""

from __future__ import annotations

from sqlalchemy import Connection

from millrace.broker import Doorbell
from millrace.db.session import Database
from millrace.lifecycle import chunks, jobs, queries
from millrace.types import JobId, JobState


class Dispatcher:
    def __init__(
        self,
        database: Database,
        doorbell: Doorbell,
        *,
        window: int,
        re_ring: float,
        interval: float,
        job_id: JobId | None = None,
    ) -> None:
        self._database = database
        self._doorbell = doorbell
        self._window = window
        self._re_ring = re_ring
        self._interval = interval
        self._job_id = job_id

    def tick(self, now: float) -> float:
        """Start queued jobs, then ring for due chunks that have not been rung for lately."""
        with self._database.read() as connection:
            queued = [
                job
                for job in queries.jobs_in(connection, {JobState.QUEUED})
                if self._job_id in (None, job.id)
            ]
            due = self._due(connection, now - self._re_ring)
        if queued or due:
            with self._database.write(durable=False) as connection:
                for job in queued:
                    jobs.start(connection, job.id)
                for job_id, idx in due:
                    chunks.ring(connection, job_id, idx)
            self._doorbell.ring(due)
        return 0.0 if queued else self._interval

    def _due(self, connection: Connection, stale: float) -> list[tuple[JobId, int]]:
        room = self._window - queries.rung(connection, since=stale, job_id=self._job_id)
        if room <= 0:
            return []
        return queries.due(connection, limit=room, rung_before=stale, job_id=self._job_id)
