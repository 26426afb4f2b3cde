"""Rings workers for chunks that are due, a small window at a time.

The window is rows of the database: workers that are awake take what is rung in its order, and a
message only wakes up one that waits. So who comes next is decided here, whatever the broker does,
and a new job waits for a moment and not for everything that was queued before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import islice

from sqlalchemy import Connection

from millrace.db.session import Database
from millrace.failpoints import failpoint
from millrace.lifecycle import chunks, jobs, queries
from millrace.settings import Settings
from millrace.types import JobId, JobState
from scheduler.desk import Desk, Order, Outlook
from scheduler.patience import Patience
from scheduler.ringer import Bell


class Dispatcher:
    """Starts queued jobs and keeps the window of every pool filled, or those of one job only."""

    def __init__(
        self,
        database: Database,
        bell: Bell,
        settings: Settings,
        *,
        interval: float,
        job_id: JobId | None = None,
    ) -> None:
        self._database = database
        self._bell = bell
        self._settings = settings
        self._interval = interval
        self._job_id = job_id
        self._desks: dict[str, Desk] = {}
        self._patience = Patience()

    def tick(self, now: float | None = None) -> float:
        """Start queued jobs, then ring for due chunks that have not been rung for lately."""
        with self._database.read() as connection:
            queued = queries.jobs_in(connection, {JobState.QUEUED})
        for job in queued:
            if self._job_id in (None, job.id):
                start = partial(jobs.start, job_id=job.id, now=now)
                self._patience.attempt(job.id, partial(self._database.transact, start))
        with self._database.read() as connection:
            pools = queries.pools(connection)
        self._desks = {pool: self._desks.get(pool) or self._desk(pool) for pool in pools}
        for pool, desk in self._desks.items():
            self._patience.attempt(pool, partial(self._fill, pool, desk, now))
        return min(
            (desk.rest(self._interval) for desk in self._desks.values()), default=self._interval
        )

    def _desk(self, pool: str) -> Desk:
        return Desk(pool, self._settings, self._job_id)

    def _fill(self, pool: str, desk: Desk, now: float | None) -> None:
        with self._database.read() as connection:
            outlook = desk.look(connection, now)
            orders = desk.orders(connection, outlook, now)
        if orders or outlook.forgotten:
            ring = partial(_ring, outlook=outlook, orders=orders, now=now)
            self._database.transact(ring, durable=False)
            failpoint("r.marked")
        self._wake(pool, outlook, orders)
        failpoint("r.rung")

    def _wake(self, pool: str, outlook: Outlook, orders: Sequence[Order]) -> None:
        """Send enough messages for those who wait; who works looks by himself when he is done."""
        for order in orders:
            if order.worker in outlook.staff.idle:
                self._bell.ring([(order.job_id, order.idxs[0])], pool=pool, worker=order.worker)
        news = [(order.job_id, idx) for order in orders for idx in order.idxs]
        waiting = [(each.job_id, each.idx) for each in outlook.rung]
        staff = outlook.staff
        # Of two messages one may go to a worker that is busy, and one may just have become idle.
        enough = max(2 * len(staff.idle), min(len(news), max(1, staff.slots)))
        calls = list(islice((*news, *waiting), enough))
        if calls:
            self._bell.ring(calls, pool=pool)


def _ring(
    connection: Connection, outlook: Outlook, orders: Sequence[Order], now: float | None
) -> None:
    chunks.unring(connection, outlook.forgotten, before=outlook.stale)
    place = 0
    for order in orders:
        chunks.ring_many(
            connection,
            order.job_id,
            order.idxs,
            rung_to=order.worker,
            order=place if order.at is None else 0,
            now=now if order.at is None else order.at,
        )
        place += len(order.idxs)
