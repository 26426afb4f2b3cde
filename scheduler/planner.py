"""Turns a submitted job into a plan: pinned inputs, a schema, and chunks as rows in the database.

Planning reads sizes, footers and a small sample, never the data, so a terabyte takes seconds.
"""

from __future__ import annotations

import logging
import threading
from functools import partial

from millrace import datasets
from millrace.db.session import Database
from millrace.errors import Conflict, MillraceError, Unavailable, explained
from millrace.failpoints import failpoint
from millrace.lifecycle import jobs, queries
from millrace.lifecycle.queries import JobView
from millrace.planning.plan import plan_of
from millrace.published import failed_rows
from millrace.telemetry import fields
from millrace.types import JobId, JobState
from scheduler import staff
from scheduler.patience import Patience
from scheduler.retrial import mirrored

log = logging.getLogger(__name__)

_SOON_SECONDS = 0.05
_TRIES = 3
"""Failures that nobody foresaw before a job that cannot be planned is ended."""


class Planner:
    """Plans jobs; with `threads`, so many of them beside the tick, which then never waits.

    `slots` is how many workers a job may hope for; where None, as many as its pool has by now,
    who show themselves every `beat` seconds.
    """

    def __init__(
        self,
        database: Database,
        *,
        slots: int | None,
        interval: float,
        threads: int = 0,
        beat: float = 10.0,
    ) -> None:
        self._database = database
        self._slots = slots
        self._interval = interval
        self._threads = threads
        self._beat = beat
        self._under_way: dict[JobId, threading.Thread] = {}
        self._patience = Patience()

    def tick(self, now: float | None = None) -> float:
        """Plan every job that waits for it; a job that cannot be planned fails with the reason."""
        with self._database.read() as connection:
            waiting = queries.jobs_in(connection, {JobState.VALIDATING})
        due = [job for job in waiting if self._patience.is_due(job.id)]
        if not self._threads:
            planned = [job for job in due if self._try(job)]
            return 0.0 if planned else self._interval
        ended = self._clear()
        for job in due:
            self._begin(job)
        if ended:
            return 0.0
        return min(_SOON_SECONDS, self._interval) if self._under_way else self._interval

    def plan(self, job: JobView) -> None:
        """Pin the inputs of one job, cut them and queue it; `InvalidInput` says what is wrong.

        A job that retries the rows of another one gets that one's inputs and chunks.
        """
        failpoint("p.before_plan")
        if job.parent_id is not None:
            self._plan_retry(job, job.parent_id)
            return
        plan = plan_of(job.spec, slots=self._slots or self._live(job.spec.pool))
        failpoint("p.surveyed")
        with self._database.write() as connection:
            jobs.pin(
                connection, job.id, plan.inputs, datasets.encode_schema(plan.schema), plan.notes
            )
            jobs.add_chunks(connection, job.id, plan.chunks)
            failpoint("p.in_plan")
            jobs.queue(connection, job.id)
        failpoint("p.planned")

    def _plan_retry(self, job: JobView, parent_id: JobId) -> None:
        with self._database.read() as connection:
            parent = queries.known_job(connection, parent_id)
            inputs = queries.inputs(connection, parent_id)
        with failed_rows(parent) as failed:
            failpoint("p.surveyed")
            with self._database.read() as reading, self._database.write() as connection:
                jobs.pin(connection, job.id, inputs, parent.arrow_schema, parent.plan_notes)
                settled = queries.settled_chunks(reading, parent_id)
                jobs.add_chunks(connection, job.id, mirrored(parent.spec.output, settled, failed))
                failpoint("p.in_plan")
                jobs.queue(connection, job.id)
        failpoint("p.planned")

    def _clear(self) -> bool:
        """Forget the threads that have ended; whether there were any."""
        before = len(self._under_way)
        self._under_way = {name: each for name, each in self._under_way.items() if each.is_alive()}
        return len(self._under_way) < before

    def _begin(self, job: JobView) -> None:
        if job.id in self._under_way or len(self._under_way) >= self._threads:
            return
        # A daemon: what a scheduler that ends has not planned, the next one plans.
        thread = threading.Thread(target=self._try, args=(job,), name="planner", daemon=True)
        self._under_way[job.id] = thread
        thread.start()

    def _try(self, job: JobView) -> bool:
        """Plan one job, or fail it with the reason, or leave it alone for a while."""
        try:
            self.plan(job)
        except Unavailable as error:
            log.warning("cannot plan now %s", fields(job=job.id, reason=error))
            self._patience.failed(job.id)
        except MillraceError as error:
            self._fail(job, error)
        except Exception as error:
            log.exception("cannot plan %s", fields(job=job.id))
            if self._patience.failed(job.id) >= _TRIES:
                self._fail(job, _unforeseen(error))
        else:
            self._patience.passed(job.id)
            return True
        return False

    def _fail(self, job: JobView, error: MillraceError) -> None:
        """Fail the job, unless another scheduler has planned it, or it was cancelled, meanwhile."""
        if isinstance(error, Conflict) and error.code == "STATE_FORBIDS":
            return
        log.info("plan failed %s", fields(job=job.id, code=error.code))
        reason = explained(error.message, error.hint)
        fail = partial(jobs.fail, job_id=job.id, code=error.code, reason=reason)
        try:
            self._database.transact(fail)
        except Unavailable as unavailable:
            log.warning("cannot end now %s", fields(job=job.id, reason=unavailable))
            self._patience.failed(job.id)

    def _live(self, pool: str) -> int:
        with self._database.read() as connection:
            return max(1, staff.of(connection, pool, self._beat).slots)


def _unforeseen(error: Exception) -> MillraceError:
    return MillraceError(
        "PLAN_FAILED",
        f"the input could not be planned: {type(error).__name__}: {error}",
        "the scheduler's log has the details; once it is mended, retry the job",
    )
