"""Millrace as one tenant sees it: the only door through which the API reads and steers jobs.

Every question and every verb on a job goes through `_own`, in the transaction of the answer, so
the job of another tenant is not found, whatever is asked of it. Each change leaves an audit record.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection

from millrace import storage
from millrace.access import audit
from millrace.access.caller import Caller
from millrace.db.session import Database
from millrace.errors import Conflict, UsageError
from millrace.front import reception, rows
from millrace.front.asked import spec_of
from millrace.front.forecast import Forecast, earlier_rates, forecast_of
from millrace.front.permits import permits_of
from millrace.front.reception import Received, Sender
from millrace.front.retrying import Permit, retry_rows
from millrace.front.rows import PUBLISHED
from millrace.front.summary import summarised
from millrace.lifecycle import events, jobs, queries
from millrace.lifecycle.events import Event
from millrace.lifecycle.guards import no_such_job
from millrace.lifecycle.queries import JobView, WorkerView
from millrace.lifecycle.transitions import JOB_TERMINAL
from millrace.manifest import MANIFEST, sha256
from millrace.request import JobRequest
from millrace.settings import Settings
from millrace.types import JobId, JobState

_LIVE_SECONDS = 60.0
_JOB_ID = re.compile(r"[0-9a-z]{1,64}", re.ASCII)

Verb = Callable[[Connection, JobId], JobState]
Summary = dict[str, Any]


class TenantView:
    """What one caller may see and do: the jobs of their tenant, or of all for an administrator."""

    def __init__(self, database: Database, settings: Settings, caller: Caller) -> None:
        self._database = database
        self._settings = settings
        self._caller = caller
        self._tenant = None if caller.sees_all else caller.tenant

    def submit(self, asked: JobRequest, idempotency_key: str | None = None) -> Received:
        """Take in a job; the same key with the same request is the same job, for ever.

        Raises what `Permits` and `reception.receive` raise.
        """
        request = hashlib.sha256(asked.model_dump_json().encode()).hexdigest()
        sender = Sender(self._caller, idempotency_key, request)
        if earlier := reception.answered(self._database, sender):
            return earlier
        with self._database.read() as connection:
            permits = permits_of(connection, self._caller, self._settings)
        permits.check_request(asked)
        spec = spec_of(asked)
        permits.check_input(spec)
        return reception.receive(self._database, spec, sender)

    def forecast(self, asked: JobRequest) -> Forecast:
        """What would become of a request, without any trace of it."""
        with self._database.read() as connection:
            permits = permits_of(connection, self._caller, self._settings)
        permits.check_request(asked)
        spec = spec_of(asked)
        permits.check_input(spec)
        with self._database.read() as connection:
            reception.check_webhook(connection, spec, self._caller.tenant)
            rates = earlier_rates(connection, self._caller.tenant, spec.model.reference)
            alive = queries.workers(connection, seen_within=_LIVE_SECONDS)
        slots = sum(each.pool == spec.pool for each in alive)
        return forecast_of(spec, slots=max(1, slots), rates=rates)

    def jobs(
        self,
        *,
        limit: int,
        after: str | None = None,
        states: Iterable[JobState] = JobState,
        model: str | None = None,
    ) -> list[Summary]:
        """A page of jobs, newest first."""
        with self._database.read() as connection:
            found = queries.jobs(
                connection,
                limit=limit,
                after=after,
                states=states,
                tenant=self._tenant,
                model=model,
            )
            return [summarised(connection, job) for job in found]

    def job(self, job_id: str) -> JobView:
        with self._database.read() as connection:
            return self._own(connection, job_id)

    def summary(self, job_id: str) -> Summary:
        """Everything about one job."""
        with self._database.read() as connection:
            return summarised(connection, self._own(connection, job_id))

    def pause(self, job_id: str) -> Summary:
        return self._change(job_id, "job.pause", jobs.pause)

    def resume(self, job_id: str) -> Summary:
        return self._change(job_id, "job.resume", jobs.resume)

    def cancel(self, job_id: str) -> Summary:
        return self._change(job_id, "job.cancel", jobs.stop)

    def retry(self, job_id: str, *, errors: bool, output: str | None = None) -> Received:
        """Let a job go on; with `errors`, chunks with error rows run again too.

        Where results are published, `errors` means another job, as of `retry_rows`; only that one
        has an `output`.
        """
        job = self.job(job_id)
        if errors and job.state in PUBLISHED:
            return retry_rows(
                self._database, job.id, output, caller=self._caller, permit=self._permit(job)
            )
        if output is not None:
            raise UsageError(
                "OPTION_INVALID",
                "--output is for the error rows of a job that is partial",
                f"leave it out, or see: millrace jobs show {job_id}",
            )

        def again(connection: Connection, own: JobId) -> JobState:
            return jobs.retry(connection, own, errors=errors)

        self._change(job_id, "job.retry", again)
        return Received(self.job(job_id), f"job {job_id} goes on")

    def results(self, job_id: str) -> tuple[JobView, Iterator[bytes]]:
        """The result rows that are committed so far, as JSON lines in input order."""
        job = self.job(job_id)
        return job, rows.result_lines(self._database, job)

    def errors(self, job_id: str) -> tuple[JobView, Iterator[bytes]]:
        """The error records so far, as JSON lines."""
        job = self.job(job_id)
        return job, rows.error_records(self._database, job)

    def manifest(self, job_id: str) -> bytes:
        """The published manifest, byte for byte.

        Raises `Conflict` where the job has not published one, or where it is not that one any more.
        """
        job = self.job(job_id)
        if job.state not in PUBLISHED:
            raise _not_ready(job)
        content = storage.for_uri(job.spec.output).read(f"{job.spec.output}/{MANIFEST}")
        if sha256(content) != job.manifest_sha256:
            raise Conflict(
                "OUTPUT_DAMAGED",
                f"the manifest in {job.spec.output} is not the one that job {job.id} wrote",
                "millrace verify tells more",
            )
        return content

    def events(
        self, *, after: int, limit: int, job_id: str | None = None, chunks: bool = True
    ) -> list[Event]:
        """Events with an id greater than `after`, oldest first; of one job where given.

        Without `chunks`, only the moves of jobs themselves.
        """
        with self._database.read() as connection:
            own = None if job_id is None else self._own(connection, job_id).id
            return events.feed(
                connection,
                after=after,
                limit=limit,
                tenant=self._tenant,
                job_id=own,
                chunks=chunks,
            )

    def newest_events(self, job_id: str, *, limit: int) -> list[Event]:
        """The last events of one job, oldest first."""
        with self._database.read() as connection:
            return events.tail(connection, self._own(connection, job_id).id, limit=limit)

    def last_event(self) -> int:
        """Where a stream of events begins that tells of nothing that is past."""
        with self._database.read() as connection:
            return events.last(connection)

    def workers(self, *, lost: bool = False) -> list[WorkerView]:
        """The worker processes that live, or have not said that they leave; for all tenants."""
        with self._database.read() as connection:
            return queries.workers(connection, seen_within=None if lost else _LIVE_SECONDS)

    def _change(self, job_id: str, action: str, verb: Verb) -> Summary:
        def change(connection: Connection) -> Summary:
            before = self._own(connection, job_id)
            state = verb(connection, before.id)
            detail = {"from": before.state.value, "to": state.value}
            audit.record(connection, self._caller, action, f"job:{before.id}", detail)
            return summarised(connection, self._own(connection, job_id))

        return self._database.transact(change)

    def _permit(self, job: JobView) -> Permit:
        """What says where this caller may have something written on behalf of the job's tenant."""
        if self._caller.key_id is None:
            return str
        on_behalf = replace(self._caller, tenant=job.tenant)
        with self._database.read() as connection:
            return permits_of(connection, on_behalf, self._settings).storage.checked

    def _own(self, conn: Connection, job_id: str) -> JobView:
        """The job, if it is this caller's to see; `NotFound` where it is not, or is not there."""
        if not _JOB_ID.fullmatch(job_id):
            raise no_such_job(JobId(job_id[:64]))
        return queries.known_job(conn, JobId(job_id), tenant=self._tenant)


def _not_ready(job: JobView) -> Conflict:
    hint = "retry it, or see its reason" if job.state in JOB_TERMINAL else "wait for its end"
    return Conflict("NOT_READY", f"job {job.id} is {job.state} and has published no manifest", hint)
