"""Where jobs are handed in and asked for: a database at hand, or a server over HTTP."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from millrace.errors import UsageError

if TYPE_CHECKING:
    from millrace.answers import EventAnswer, JobAnswer, JobPage, WorkerAnswer
    from millrace.request import JobRequest
    from millrace.types import JobState

URL = "MILLRACE_URL"


@dataclass(frozen=True, slots=True)
class Handed:
    """The job that answers a submission or a retry, and what there is to say about it."""

    job: JobAnswer
    news: str


class Desk(Protocol):
    """What the commands ask; they do not know whom."""

    @property
    def options(self) -> str:
        """What somebody types behind a command that shall come to this desk, or nothing."""
        ...

    def submit(self, asked: JobRequest, *, tenant: str | None, key: str | None) -> Handed: ...

    def page(self, *, limit: int, after: str | None, states: Collection[JobState]) -> JobPage: ...

    def job(self, job_id: str) -> JobAnswer: ...

    def pause(self, job_id: str) -> JobAnswer: ...

    def resume(self, job_id: str) -> JobAnswer: ...

    def cancel(self, job_id: str) -> JobAnswer: ...

    def retry(self, job_id: str, *, errors: bool, output: str | None) -> Handed: ...

    def results(self, job_id: str) -> Iterator[bytes]:
        """JSON lines in pieces, as all that follow."""
        ...

    def errors(self, job_id: str) -> Iterator[bytes]: ...

    def history(self, job_id: str, after: int) -> Sequence[EventAnswer]:
        """A page of what became of the job behind the event with the id `after`."""
        ...

    def newest_event(self, job_id: str) -> int:
        """The id of the last thing that became of it; 0 for none."""
        ...

    def workers(self, *, lost: bool) -> Sequence[WorkerAnswer]: ...


@contextmanager
def desk_at(
    *, url: str | None = None, state: Path | None = None, create: bool = False
) -> Iterator[Desk]:
    """The server at `url`, or the database in the folder `state`; what is configured without.

    ``MILLRACE_URL`` goes before a configured database. With `create`, a state folder is made where
    there is none.
    """
    if url is not None and state is not None:
        raise UsageError(
            "OPTION_INVALID", "--url and --state name two places to look", "give one of them"
        )
    there = url or ("" if state is not None else os.environ.get(URL, ""))
    if there:
        from millrace.cli.http_desk import http_desk

        with http_desk(there, is_usual=url is None) as desk:
            yield desk
    else:
        from millrace.cli.database_desk import database_desk

        with database_desk(state, create=create) as desk:
            yield desk
