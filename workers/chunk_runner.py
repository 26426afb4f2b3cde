"""One attempt at one chunk, from claim to commit: the only way by which a worker touches state.

claim → heartbeat ┬→ the child computes and makes its part durable → commit
├→ it stops by itself → release, refuse the model, or fail the job
├→ it crashes or stalls → count it, split or bury
└→ the lease is lost → kill it and say nothing
"""

from __future__ import annotations

import logging
import random
import threading

from millrace.clock import Clock
from millrace.db.session import Database
from millrace.errors import LeaseLost, MillraceError, Unavailable, explained
from millrace.lifecycle import chunks, jobs, queries, retry
from millrace.settings import Settings
from millrace.telemetry import fields
from millrace.types import ChunkKind, JobId, Lease, WorkerId
from workers.child import Abandoned, ComputeChild, Crashed
from workers.commit import AnswerRejected, commit
from workers.finalise import publish
from workers.heartbeat import Heartbeat
from workers.order import Finished, Stopped
from workers.order_desk import write_order

log = logging.getLogger(__name__)

_KILLS_AT_LOAD = 5
"""Attempts at one chunk after which a kill while loading is taken for the model's own doing."""


class ChunkRunner:
    """Carries out one chunk at a time; called by the doorbell and by whoever looks for work."""

    def __init__(
        self,
        database: Database,
        child: ComputeChild,
        worker: WorkerId,
        settings: Settings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._child = child
        self._worker = worker
        self._settings = settings
        self._clock = clock
        self._one_at_a_time = threading.Lock()
        self._drain_until: float | None = None

    def run(self, job_id: JobId, idx: int) -> bool:
        """Claim the chunk and carry it out; false where it was not to be had."""
        with self._one_at_a_time:
            if self._drain_until is not None:
                return False
            try:
                lease = self._claim(job_id, idx)
                if lease is not None:
                    self._carry_out(lease)
            except LeaseLost:
                log.info("lease lost %s", fields(job=job_id, chunk=idx))
            except Unavailable as error:
                log.warning("left alone %s", fields(job=job_id, chunk=idx, reason=error))
                return False
        return lease is not None

    def run_due(self, job_id: JobId | None = None) -> bool:
        """Look in the database for work that nobody rang for; true where some was done."""
        try:
            with self._database.read() as connection:
                due = queries.due(connection, limit=8, job_id=job_id)
        except Unavailable as error:
            log.warning("cannot look for work %s", fields(reason=error))
            return False
        return any(self.run(found, idx) for found, idx in random.sample(due, len(due)))

    def drain(self, grace: float) -> None:
        """Claim nothing more; what runs may go on for `grace` seconds, then it is released."""
        until = self._clock.monotonic() + grace
        self._drain_until = min(until, self._drain_until or until)

    def _claim(self, job_id: JobId, idx: int) -> Lease | None:
        with self._database.write(durable=False) as connection:
            return chunks.claim(connection, job_id, idx, self._worker, self._settings.lease_seconds)

    def _carry_out(self, lease: Lease) -> None:
        beat = Heartbeat(
            self._database,
            lease,
            self._settings.lease_seconds,
            self._settings.heartbeat_seconds,
            self._clock,
        )
        with beat:
            try:
                if lease.kind is ChunkKind.FINALIZE:
                    publish(self._database, lease)
                else:
                    self._infer(lease, beat)
            except LeaseLost:
                raise
            except Unavailable as error:
                # where it is the database that is away, this fails too, and the lease runs out
                self._release(lease, infra=True, reason=str(error))
            except MillraceError as error:
                self._fail_job(lease, error.code, explained(error.message, error.hint))
            except Exception:
                log.exception("attempt failed %s", fields(job=lease.job_id, chunk=lease.idx))
                self._release(lease, infra=True, reason="an internal error; see the worker's log")

    def _infer(self, lease: Lease, beat: Heartbeat) -> None:
        with self._database.read() as connection:
            order = write_order(connection, lease)
        answer = self._child.execute(order, beat.report, lambda: self._interruption(beat))
        match answer:
            case Finished():
                try:
                    commit(self._database, lease, order, answer, self._clock)
                except AnswerRejected as rejected:
                    self._child.kill()
                    self._crash(lease, Crashed(rejected.message, (), loaded=True))
            case Stopped(reason="infra"):
                self._release(lease, infra=True, reason=f"{answer.code}: {answer.message}")
            case Stopped(reason="model"):
                self._refuse_model(lease, answer)
            case Stopped():
                message = explained(answer.message, answer.hint)
                self._fail_job(lease, answer.code, message)
            case Crashed(loaded=False):
                self._crash_at_load(lease, answer)
            case Crashed() | Abandoned(reason="stalled"):
                self._crash(lease, answer)
            case Abandoned(reason="drained"):
                self._release(lease, infra=False, reason="the worker is going away")
            case Abandoned():
                raise LeaseLost

    def _interruption(self, beat: Heartbeat) -> str | None:
        if beat.lost:
            return "lost"
        if self._drain_until is not None and self._clock.monotonic() >= self._drain_until:
            return "drained"
        if beat.idle_seconds() > self._settings.stall_seconds:
            return "stalled"
        return None

    def _release(self, lease: Lease, *, infra: bool, reason: str) -> None:
        delay = retry.backoff(lease.attempt, random.random()) if infra else 0.0
        with self._database.write() as connection:
            chunks.release(connection, lease, infra=infra, delay=delay, reason=reason)

    def _refuse_model(self, lease: Lease, answer: Stopped) -> None:
        message = explained(answer.message, answer.hint)
        with self._database.write() as connection:
            chunks.refuse_model(connection, lease, answer.code, message)

    def _crash_at_load(self, lease: Lease, answer: Crashed) -> None:
        """No row is to blame: a kill from outside is tried again, a model that dies is refused."""
        self._child.start()
        if answer.killed and lease.attempt < _KILLS_AT_LOAD:
            self._release(lease, infra=True, reason=answer.detail)
            return
        message = f"the process died while it loaded the model: {answer.detail}"
        with self._database.write() as connection:
            chunks.refuse_model(connection, lease, "MODEL_CRASHED", message)

    def _fail_job(self, lease: Lease, code: str, reason: str) -> None:
        with self._database.write() as connection:
            if lease.kind is ChunkKind.FINALIZE:
                jobs.abandon(connection, lease, code, reason)
                return
            chunks.release(connection, lease, infra=False, delay=0.0, reason=reason)
            jobs.fail(connection, lease.job_id, code, reason)

    def _crash(self, lease: Lease, answer: Crashed | Abandoned) -> None:
        detail = answer.detail if isinstance(answer, Crashed) else "made no progress and was killed"
        with self._database.write() as connection:
            decision = chunks.crash(connection, lease, answer.suspects, detail)
        log.warning(
            "compute crashed %s",
            fields(job=lease.job_id, chunk=lease.idx, detail=detail, decision=decision),
        )
        self._child.start()
