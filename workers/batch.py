"""A batch: chunks of one job that were claimed together, carried out one after the other.

claim → heartbeat ┬→ the child computes and makes its part durable → harvest → commit, in groups
                  ├→ it stops by itself → release, refuse the model, or fail the job
                  ├→ it crashes or stalls → count it, split or bury
                  └→ the lease is lost → kill it and say nothing
What ends one chunk leaves the others of the batch alone, unless no worker here could do them.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from functools import partial

from millrace import storage
from millrace.errors import LeaseLost, Unavailable
from millrace.lifecycle import queries
from millrace.telemetry import fields
from millrace.types import ChunkResult, JobState, Lease
from workers import ending
from workers.acceptance import AnswerRejected, accepted
from workers.bench import Bench
from workers.child import Abandoned, Answer, Crashed
from workers.harvest import Harvest
from workers.heartbeat import Heartbeat
from workers.order import Finished, Progress, Stopped, WorkOrder
from workers.recovery import LOCAL_FAULTS

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_PATIENCE = 2.0
"""What was not begun after so many times the length of a batch is left to others."""


_AT_FAULT = "the machine is at fault"


class Batch:
    """Each of its leases has ended when `carry_out` returns, or is left to run out."""

    def __init__(
        self, bench: Bench, beat: Heartbeat, leases: Sequence[Lease], orders: Sequence[WorkOrder]
    ) -> None:
        self._bench = bench
        self._beat = beat
        self._job_id = leases[0].job_id
        self._harvest = Harvest(
            bench.database, beat, bench.drain, bench.clock, partial(_settle, orders[0].spec.output)
        )
        self._waiting = deque(zip(leases, orders, strict=True))
        self._given: deque[tuple[Lease, WorkOrder]] = deque()
        self._lost: list[Lease] = []
        self._began: float | None = None
        self._look_at = 0.0
        self._finished = 0

    def carry_out(self) -> None:
        """Compute, commit, and let go of what cannot be done here."""
        try:
            while self._feed():
                self._next()
                self._shed()
                # the child goes on while we commit
                self._feed()
                self._harvest.bring_in()
                if self._heed_fault():
                    self._let_go(_AT_FAULT)
        except Exception:
            self._leave()
            raise
        self._leave()
        self._learn()

    def _leave(self) -> None:
        """Commit what is finished; the child keeps nothing of ours."""
        if self._bench.child.busy:
            self._bench.child.kill()
        self._harvest.bring_in_all()
        self._heed_fault()
        # a job that was cancelled wants them no more, and cannot end while they are leased to us
        self._release([*self._lost, *self._harvest.lost], "the job no longer wants it")

    def _heed_fault(self) -> bool:
        """Rest where parts could not be settled for want of this machine's health."""
        fault, self._harvest.fault = self._harvest.fault, None
        if fault is None and self._harvest.has_settled:
            self._bench.recovery.end()
        if fault is None or fault.code not in LOCAL_FAULTS:
            return False
        self._bench.recovery.begin(fault)
        return True

    def _feed(self) -> bool:
        """Keep the child in work; false where there is none left."""
        if not self._bench.child.busy:
            self._take_back()
        while self._waiting and len(self._given) <= self._bench.pace.ahead:
            lease, order = self._waiting.popleft()
            if self._beat.is_lost(lease):
                self._lose(lease)
                continue
            self._bench.child.give(order)
            self._given.append((lease, order))
        return bool(self._given)

    def _next(self) -> None:
        """Wait for one answer and see to its lease."""
        lease, order = self._given.popleft()
        self._beat.turn_to(lease)
        answer = self._bench.child.answer(self._report, self._interruption)
        try:
            self._end(lease, order, answer)
        except LeaseLost:
            self._lose(lease)
        except Unavailable as error:
            told = fields(job=lease.job_id, chunk=lease.idx, reason=error)
            log.warning("lease left to run out %s", told)
        if not isinstance(answer, Finished):
            self._beat.drop([lease])
        if self._beat.lost:
            self._forget()
        elif self._bench.drain.begun:
            self._let_go("the worker is going away")

    def _end(self, lease: Lease, order: WorkOrder, answer: Answer) -> None:
        database = self._bench.database
        match answer:
            case Finished():
                self._accept(lease, order, answer)
            case Stopped(reason="infra"):
                reason = f"{answer.code}: {answer.message}"
                ending.release(database, lease, infra=True, reason=reason)
                if answer.code in LOCAL_FAULTS:
                    self._bench.recovery.begin(answer)
                    self._let_go(_AT_FAULT)
            case Stopped(reason="model"):
                ending.refuse_model(database, lease, answer)
                self._let_go("its model was refused here")
            case Stopped():
                ending.fail_job(database, lease, answer)
                self._forget()
            case Crashed(loaded=False):
                self._bench.child.start()
                ending.crash_at_load(database, lease, answer)
            case Crashed() | Abandoned(reason="stalled"):
                self._bench.child.start()
                ending.crash(database, lease, answer)
            case Abandoned(reason="drained"):
                ending.release(database, lease, infra=False, reason="the worker is going away")
            case Abandoned():
                raise LeaseLost

    def _accept(self, lease: Lease, order: WorkOrder, answer: Finished) -> None:
        try:
            self._harvest.add(lease, accepted(order, answer))
        except AnswerRejected as rejected:
            self._bench.child.kill()
            ending.crash(self._bench.database, lease, Crashed(rejected.message, (), loaded=True))
            self._beat.drop([lease])
            self._bench.child.start()
        else:
            self._finished += 1

    def _report(self, progress: Progress) -> None:
        self._began = self._began or self._bench.clock.monotonic()
        self._beat.report(progress)

    def _interruption(self) -> str | None:
        if self._beat.lost:
            return "lost"
        if self._bench.drain.over:
            return "drained"
        if self._beat.idle_seconds() > self._bench.settings.stall_seconds:
            return "stalled"
        return None

    def _shed(self) -> None:
        """Leave what was not begun to others, where it would have to wait long or is not wanted."""
        moment = self._bench.clock.monotonic()
        if not self._waiting or self._began is None or moment < self._look_at:
            return
        self._look_at = moment + _LOOK_SECONDS
        if moment - self._began > _PATIENCE * self._bench.settings.batch_seconds:
            self._release_waiting("the batch takes longer than others did")
        elif self._is_paused():
            self._release_waiting("the job is paused")

    def _is_paused(self) -> bool:
        try:
            with self._bench.database.read() as connection:
                job = queries.job(connection, self._job_id)
        except Unavailable:
            return False
        return job is not None and job.state is JobState.PAUSED

    def _let_go(self, reason: str) -> None:
        """Release all that was not begun, even where the child has the orders already."""
        self._take_back()
        self._release_waiting(reason)

    def _take_back(self) -> None:
        """What was given and not begun waits again."""
        self._waiting.extendleft(reversed(self._given))
        self._given.clear()

    def _release_waiting(self, reason: str) -> None:
        leases = [lease for lease, _ in self._waiting]
        self._waiting.clear()
        self._release(leases, reason)

    def _release(self, leases: Sequence[Lease], reason: str) -> None:
        self._beat.drop(leases)
        try:
            ending.release_all(self._bench.database, leases, reason)
        except Unavailable as error:
            log.warning("leases left to run out %s", fields(chunks=len(leases), reason=error))

    def _forget(self) -> None:
        """Nothing of what was not begun is ours any more."""
        for lease, _ in (*self._given, *self._waiting):
            self._lose(lease)
        self._waiting.clear()
        self._given.clear()

    def _learn(self) -> None:
        if self._finished and self._began is not None:
            seconds = self._bench.clock.monotonic() - self._began
            self._bench.pace.learn(self._job_id, self._finished, seconds)

    def _lose(self, lease: Lease) -> None:
        log.info("lease lost %s", fields(job=lease.job_id, chunk=lease.idx))
        self._lost.append(lease)


def _settle(output: str, results: Sequence[ChunkResult]) -> None:
    parts = (part for each in results for part in (each.part, each.error_part) if part)
    storage.for_uri(output).settle([f"{output.rstrip('/')}/{part.path}" for part in parts])
