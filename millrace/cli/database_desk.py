"""Jobs in a database that this process may open: the configured one, or that of a state folder."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from millrace.access.caller import operator
from millrace.answers import EventAnswer, JobAnswer, JobPage, WorkerAnswer
from millrace.cli.console import readable
from millrace.cli.desk import Desk, Handed
from millrace.cli.equipment import equipped
from millrace.cli.state import open_state
from millrace.db.session import Database
from millrace.front.asked import spec_of
from millrace.front.reception import Sender, receive
from millrace.front.tenant_view import TenantView
from millrace.request import JobRequest
from millrace.settings import Settings
from millrace.types import JobState

_HISTORY_PAGE = 1_000


@contextmanager
def database_desk(state: Path | None, *, create: bool) -> Iterator[Desk]:
    """The desk over an existing state folder; without one, over what is configured."""
    asked: dict[str, Any] = {} if state is None else {"state": state, "database_url": ""}
    settings = equipped(**asked)
    with open_state(settings, create=create) as database:
        yield DatabaseDesk(database, settings)


class DatabaseDesk:
    """`Desk` for an operator: whoever can open the database may see and do everything."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings
        self._view = TenantView(database, settings, operator("default"))

    @property
    def options(self) -> str:
        usual = Settings.load()
        if self._settings.database_url or self._settings.database == usual.database:
            return ""
        return f" --state {shlex.quote(str(self._settings.state))}"

    def submit(self, asked: JobRequest, *, tenant: str | None, key: str | None) -> Handed:
        spec = spec_of(asked)
        sender = Sender(operator(tenant or "default"), key, spec.spec_hash())
        received = receive(self._database, spec, sender)
        return Handed(self.job(received.job.id), received.news)

    def page(self, *, limit: int, after: str | None, states: Collection[JobState]) -> JobPage:
        found = self._view.jobs(limit=limit, after=after, states=states or JobState)
        more = len(found) == limit
        return JobPage(data=[*map(_job, found)], next=found[-1]["id"] if more else None)

    def job(self, job_id: str) -> JobAnswer:
        return _job(self._view.summary(job_id))

    def pause(self, job_id: str) -> JobAnswer:
        return _job(self._view.pause(job_id))

    def resume(self, job_id: str) -> JobAnswer:
        return _job(self._view.resume(job_id))

    def cancel(self, job_id: str) -> JobAnswer:
        return _job(self._view.cancel(job_id))

    def retry(self, job_id: str, *, errors: bool, output: str | None) -> Handed:
        received = self._view.retry(job_id, errors=errors, output=output)
        job = self.job(received.job.id)
        if job.id == job_id:
            return Handed(job, f"job {job_id} is {job.state}")
        return Handed(job, received.news + self._who_computes(job))

    def results(self, job_id: str) -> Iterator[bytes]:
        return self._view.results(job_id)[1]

    def errors(self, job_id: str) -> Iterator[bytes]:
        return self._view.errors(job_id)[1]

    def history(self, job_id: str, after: int) -> Sequence[EventAnswer]:
        found = self._view.events(after=after, limit=_HISTORY_PAGE, job_id=job_id)
        return [*map(EventAnswer.model_validate, found)]

    def newest_event(self, job_id: str) -> int:
        return max((each.id for each in self._view.newest_events(job_id, limit=1)), default=0)

    def workers(self, *, lost: bool) -> Sequence[WorkerAnswer]:
        return [*map(WorkerAnswer.model_validate, self._view.workers(lost=lost))]

    def _who_computes(self, child: JobAnswer) -> str:
        """A word where nobody but the next `millrace run` looks into this database."""
        if self._settings.database_url:
            return ""
        folder = readable(child.output)
        return f"\nmillrace up computes it, or the same millrace run with --output {folder}"


def _job(summary: dict[str, Any]) -> JobAnswer:
    return JobAnswer.model_validate(summary)
