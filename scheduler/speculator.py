"""Offers slow chunks of a job that is nearly done to workers that are idle."""

from __future__ import annotations

from functools import partial

from sqlalchemy import Connection

from millrace.db.session import Database
from millrace.failpoints import failpoint
from millrace.lifecycle import chunks, occupancy, queries
from millrace.lifecycle.queries import JobView
from millrace.settings import Settings
from millrace.types import ChunkState, JobId, JobState
from scheduler import staff
from scheduler.patience import Patience
from scheduler.ringer import Bell
from scheduler.speculation import Running, stragglers


class Speculator:
    """Looks where a pool has idle workers and jobs of which every chunk has been begun."""

    def __init__(
        self, database: Database, bell: Bell, settings: Settings, *, interval: float
    ) -> None:
        self._database = database
        self._bell = bell
        self._settings = settings
        self._interval = interval
        self._patience = Patience()

    def tick(self, now: float | None = None) -> float:
        """Offer what is slow, each chunk at most once, as far as workers are idle."""
        with self._database.read() as connection:
            running = queries.jobs_in(connection, {JobState.RUNNING})
        for pool in sorted({job.pool for job in running}):
            of_pool = [job for job in running if job.pool == pool]
            self._patience.attempt(pool, partial(self._help, pool, of_pool, now))
        return self._interval

    def _help(self, pool: str, running: list[JobView], now: float | None) -> None:
        idle = self._idle(pool)
        for job in running:
            if idle <= 0:
                return
            offered = self._offer(job.id, idle, now)
            idle -= len(offered)
            if offered:
                failpoint("r.offered")
                self._bell.ring([(job.id, idx) for idx in offered], pool=pool)

    def _idle(self, pool: str) -> int:
        """Workers that have nothing to do, and will find nothing else."""
        with self._database.read() as connection:
            unemployed = staff.of(connection, pool, self._settings.seen_seconds).idle
            return len(unemployed) - len(occupancy.window(connection, pool))

    def _offer(self, job_id: JobId, most: int, now: float | None) -> list[int]:
        with self._database.read() as connection:
            slow = self._slow(connection, job_id, most, now)
        return [
            idx
            for idx in slow
            if self._database.transact(partial(chunks.offer, job_id=job_id, idx=idx, now=now))
        ]

    def _slow(
        self, connection: Connection, job_id: JobId, most: int, now: float | None
    ) -> list[int]:
        progress = queries.progress(connection, job_id)
        if progress.chunks[ChunkState.PENDING] or not progress.chunks[ChunkState.LEASED]:
            return []
        leases = queries.leases(connection, job_id, now=now)
        return stragglers(
            [Running(e.idx, e.held_seconds, e.weight, e.offered or e.twinned) for e in leases],
            queries.pace(connection, job_id),
            usual_weight=progress.weight_total / sum(progress.chunks.values()),
            factor=self._settings.speculation_factor,
            idle=most,
        )
