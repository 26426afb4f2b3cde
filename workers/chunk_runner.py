"""Finds work, claims it and has it carried out: the only way by which a worker touches state."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from millrace.clock import Clock
from millrace.db.session import Database
from millrace.errors import LeaseLost, MillraceError, Unavailable
from millrace.failpoints import failpoint
from millrace.lifecycle import chunks, queries
from millrace.settings import Settings
from millrace.telemetry import fields
from millrace.types import ChunkKind, JobId, Lease, WorkerId
from workers import ending
from workers.batch import Batch
from workers.bench import Bench
from workers.child import ComputeChild
from workers.drain import Drain
from workers.finalise import publish
from workers.heartbeat import Heartbeat
from workers.order import WorkOrder
from workers.order_desk import write_orders
from workers.pace import Pace
from workers.recovery import Recovery

log = logging.getLogger(__name__)

Find = Callable[[Connection], list[tuple[JobId, int]]]

_LOOKS = 3


class ChunkRunner:
    """Carries out one batch at a time, of one `kind` of chunks where so told; for one thread."""

    def __init__(
        self,
        database: Database,
        child: ComputeChild,
        worker: WorkerId,
        settings: Settings,
        clock: Clock,
        kind: ChunkKind | None = None,
    ) -> None:
        pace = Pace(settings.batch_seconds, settings.max_batch)
        self._bench = Bench(database, child, settings, clock, Drain(clock), pace, Recovery(clock))
        self._worker = worker
        self._kind = kind
        self._beat: Heartbeat | None = None

    @property
    def idle_by_choice(self) -> bool:
        """Whether it would take no work now, were there any."""
        return self._bench.drain.begun or self._bench.recovery.going_on

    def run(self, job_id: JobId, idx: int) -> bool:
        """Take this very chunk; false where it is not to be had."""
        return self._run(lambda _: [(job_id, idx)])

    def run_rung(self, job_id: JobId | None = None) -> bool:
        """Take what the scheduler has chosen to be next; false where there is nothing."""
        return self._run(lambda connection: self._rung(connection, job_id))

    def run_due(self, job_id: JobId | None = None) -> bool:
        """Take what is rung, or else whatever is due; false where there is nothing."""
        return self._run(
            lambda connection: self._rung(connection, job_id) or self._due(connection, job_id)
        )

    def drain(self, grace: float) -> None:
        """Claim nothing more; what runs may go on for `grace` seconds, then it is released."""
        self._bench.drain.begin(grace)

    def enforce(self) -> None:
        """Kill the child once its leases cannot be trusted, though our thread may hang somewhere.

        For a thread other than the one that works.
        """
        beat = self._beat
        if beat is not None and beat.lost:
            self._bench.child.shoot()

    def _run(self, find: Find) -> bool:
        if self.idle_by_choice:
            return False
        failpoint("w.before_claim")
        try:
            leases = self._claim(find)
        except Unavailable as error:
            log.warning("cannot look for work %s", fields(reason=error))
            return False
        if leases:
            failpoint("w.after_claim")
            self._carry_out(leases)
            failpoint("w.done")
        return bool(leases)

    def _claim(self, find: Find) -> list[Lease]:
        """Leases of one job; looks again where others were faster."""
        settings, pace = self._bench.settings, self._bench.pace
        for _ in range(_LOOKS):
            with self._bench.database.write(durable=False) as connection:
                found = find(connection)
                if not found:
                    return []
                job_id = found[0][0]
                idxs = [idx for each, idx in found if each == job_id][: pace.size(job_id)]
                leases = chunks.claim_many(
                    connection,
                    job_id,
                    idxs,
                    self._worker,
                    settings.lease_seconds,
                    only=self._kind,
                )
            if leases:
                return leases
        return []

    def _rung(self, connection: Connection, job_id: JobId | None) -> list[tuple[JobId, int]]:
        settings = self._bench.settings
        return queries.next_rung(
            connection,
            pool=settings.pool,
            worker=self._worker,
            limit=settings.max_batch,
            affinity=settings.affinity_seconds,
            job_id=job_id,
            kind=self._kind,
        )

    def _due(self, connection: Connection, job_id: JobId | None) -> list[tuple[JobId, int]]:
        settings = self._bench.settings
        return queries.due(
            connection,
            limit=settings.max_batch,
            pool=settings.pool,
            job_id=job_id,
            kind=self._kind,
            unrung_for=settings.affinity_seconds,
        )

    def _carry_out(self, leases: Sequence[Lease]) -> None:
        settings = self._bench.settings
        beat = self._beat = Heartbeat(
            self._bench.database,
            leases,
            settings.lease_seconds,
            settings.heartbeat_seconds,
            self._bench.clock,
        )
        with beat:
            try:
                if leases[0].kind is ChunkKind.FINALIZE:
                    publish(self._bench.database, leases[0])
                else:
                    Batch(self._bench, beat, leases, self._orders(leases)).carry_out()
            except Exception as error:
                self._excuse(leases, error)
        self._beat = None

    def _orders(self, leases: Sequence[Lease]) -> list[WorkOrder]:
        with self._bench.database.read() as connection:
            return write_orders(connection, leases)

    def _excuse(self, leases: Sequence[Lease], error: Exception) -> None:
        """What the batch itself had no answer to."""
        for lease in leases:
            try:
                self._end(lease, error)
            except LeaseLost:
                log.info("lease lost %s", fields(job=lease.job_id, chunk=lease.idx))
            except Unavailable as away:
                told = fields(job=lease.job_id, chunk=lease.idx, reason=away)
                log.warning("leases left to run out %s", told)
                return

    def _end(self, lease: Lease, error: Exception) -> None:
        database = self._bench.database
        match error:
            case LeaseLost():
                raise error
            case Unavailable():
                ending.release(database, lease, infra=True, reason=str(error))
            case MillraceError():
                ending.fail_job(database, lease, error)
            case _:
                told = fields(job=lease.job_id, chunk=lease.idx)
                log.error("attempt failed %s", told, exc_info=error)
                reason = "an internal error; see the worker's log"
                ending.release(database, lease, infra=True, reason=reason)
