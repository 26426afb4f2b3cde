"""One pool's dispatch: how it stands, and which chunks are to be rung for next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection

from millrace.lifecycle import occupancy, queries
from millrace.lifecycle.occupancy import Rung
from millrace.lifecycle.queries import Backlog
from millrace.settings import Settings
from millrace.types import ChunkKind, JobId, WorkerId
from scheduler import staff
from scheduler.affinity import Hints
from scheduler.ledger import Ledger
from scheduler.staff import Staff
from scheduler.supply import Supply
from scheduler.window import Placing, placings, size

_SHORTEST_REST = 0.05
_DRAINED = 4
"""A full window of which no more than such a part is left was too small: the next one is twice as
big, and looked after soon.
"""


@dataclass(frozen=True, slots=True)
class Order:
    """Chunks of one job to ring for in a row; for `at` see `Placing`."""

    job_id: JobId
    idxs: tuple[int, ...]
    at: float | None
    worker: WorkerId | None


@dataclass(frozen=True, slots=True)
class Outlook:
    """How a pool stands at one moment."""

    moment: float
    stale: float
    """What was rung before this time, and not begun, is called for anew, each in its turn."""
    jobs: Mapping[JobId, Backlog]
    rung: Collection[Rung]
    staff: Staff

    @property
    def forgotten(self) -> frozenset[JobId]:
        """Jobs of which something is rung that is stale."""
        return frozenset(each.job_id for each in self.rung if each.at < self.stale)


class Desk:
    """Decides for one pool; `job_id` where only that job is served."""

    def __init__(self, pool: str, settings: Settings, job_id: JobId | None = None) -> None:
        self._pool = pool
        self._settings = settings
        self._job_id = job_id
        self._ledger = Ledger(settings.tenant_weights, settings.ageing_seconds)
        self._size = 0
        self._filled = False
        self._hurries = False

    def look(self, connection: Connection, now: float | None) -> Outlook:
        """Read what there is to do, and who may do it."""
        backlog = queries.backlog(connection, self._pool, now=now)
        moment = occupancy.clock(connection) if now is None else now
        outlook = Outlook(
            moment=moment,
            stale=moment - self._settings.re_ring_seconds,
            jobs={job.job_id: job for job in backlog if self._job_id in (None, job.job_id)},
            rung=occupancy.window(connection, self._pool, self._job_id),
            staff=staff.of(connection, self._pool, self._settings.seen_seconds),
        )
        self._ledger.read(
            outlook.moment, outlook.jobs.values(), Counter(each.job_id for each in outlook.rung)
        )
        return outlook

    def orders(self, connection: Connection, outlook: Outlook, now: float | None) -> list[Order]:
        """What is missing in the window, in the order of urgency."""
        seconds = max(self._settings.window_seconds, 2 * self._ledger.seconds)
        rate = self._ledger.begun.per_second
        drained = self._filled and len(outlook.rung) <= self._size // _DRAINED
        least = 2 * self._size if drained else 0
        self._size = size(outlook.staff.slots, rate, seconds, least)
        supply = Supply(partial(self._due, connection, now))
        hints = self._hints(outlook)
        orders = [
            Order(each.job_id, supply.take(each.job_id, count), each.at, worker)
            for each in self._missing(outlook, supply)
            for count, worker in self._split(outlook.jobs[each.job_id], each, hints)
        ]
        rung = {(each.job_id, each.idx) for each in outlook.rung}
        new = {(order.job_id, idx) for order in orders for idx in order.idxs} - rung
        self._ledger.rang(Counter(job_id for job_id, _ in new))
        self._filled = len(rung | new) >= self._size
        self._hurries = bool(new) and (drained or not rate)
        return orders

    def rest(self, longest: float) -> float:
        """Seconds until about half of the window may have been begun, at most `longest`."""
        if self._hurries:
            return min(longest, _SHORTEST_REST)
        rate = self._ledger.begun.per_second
        return min(longest, max(_SHORTEST_REST, self._size / rate / 2)) if rate else longest

    def _missing(self, outlook: Outlook, supply: Supply) -> list[Placing]:
        """Whom the window lacks; what a job cannot fill is left to others."""
        fresh = [each for each in outlook.rung if each.at >= outlook.stale]
        there = Counter(each.job_id for each in fresh)
        limits: dict[JobId, int] = {}
        while True:
            wanted = self._ledger.shares(limits, self._size)
            missing = list(placings(wanted, fresh))
            shortage = supply.shortage(missing)
            if not shortage:
                return missing
            limits |= {job_id: there[job_id] + count for job_id, count in shortage.items()}

    def _due(
        self, connection: Connection, now: float | None, job_id: JobId, limit: int
    ) -> list[int]:
        lately = self._settings.re_ring_seconds
        due = queries.due(connection, limit=limit, job_id=job_id, unrung_for=lately, now=now)
        return [idx for _, idx in due]

    def _hints(self, outlook: Outlook) -> Hints:
        young = outlook.moment - self._settings.affinity_seconds
        return Hints(
            outlook.staff.holders,
            wanted={job.model_sha256 for job in outlook.jobs.values() if job.model_sha256},
            given=Counter(each.to for each in outlook.rung if each.to and each.at > young),
            most=-(-self._size // max(1, outlook.staff.slots)),
        )

    def _split(
        self, job: Backlog, placing: Placing, hints: Hints
    ) -> Iterator[tuple[int, WorkerId | None]]:
        if job.kind is ChunkKind.FINALIZE or job.model_sha256 is None:
            return iter([(placing.chunks, None)])
        return hints.split(job.model_sha256, placing.chunks)
