"""Jobs of a server, over HTTP."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from millrace import catalog, storage
from millrace.answers import EventAnswer, JobAnswer, JobPage, WorkerAnswer
from millrace.cli.desk import Desk, Handed
from millrace.client import Client, calls
from millrace.errors import InvalidInput, UsageError
from millrace.registry import models
from millrace.request import JobRequest
from millrace.types import JOB_TERMINAL, JobState

_PATIENCE_SECONDS = 10.0


@contextmanager
def http_desk(url: str, *, is_usual: bool) -> Iterator[Desk]:
    """The desk of the server at `url`; `is_usual` where commands go there by themselves."""
    with Client(url, patience=_PATIENCE_SECONDS) as client:
        yield HttpDesk(client, "" if is_usual else f" --url {shlex.quote(url)}")


class HttpDesk:
    """`Desk` for the owner of a key."""

    def __init__(self, client: Client, options: str) -> None:
        self._client = client
        self._options = options

    @property
    def options(self) -> str:
        return self._options

    def submit(self, asked: JobRequest, *, tenant: str | None, key: str | None) -> Handed:
        if tenant is not None:
            raise UsageError(
                "OPTION_INVALID", "--tenant: the key says whose job it is", "leave it out"
            )
        job = self._client.submit(_absolute(asked), idempotency_key=key)
        if job.state in JOB_TERMINAL:
            return Handed(job, f"job {job.id} is {job.state} already; nothing to do")
        return Handed(job, f"job {job.id}: {job.input} → {job.output}")

    def page(self, *, limit: int, after: str | None, states: Collection[JobState]) -> JobPage:
        found: list[JobAnswer] = []
        while True:
            size = min(calls.PAGE, limit - len(found))
            page = self._client.page(limit=size, after=after, states=states)
            found += page.data
            after = page.next
            if after is None or len(found) == limit:
                return JobPage(data=found, next=after)

    def job(self, job_id: str) -> JobAnswer:
        return self._client.show(job_id)

    def pause(self, job_id: str) -> JobAnswer:
        return self._client.pause(job_id)

    def resume(self, job_id: str) -> JobAnswer:
        return self._client.resume(job_id)

    def cancel(self, job_id: str) -> JobAnswer:
        return self._client.cancel(job_id)

    def retry(self, job_id: str, *, errors: bool, output: str | None) -> Handed:
        folder = None if output is None else storage.normalise(output)
        job = self._client.retry(job_id, errors=errors, output=folder)
        if job.id == job_id:
            return Handed(job, f"job {job_id} is {job.state}")
        return Handed(job, f"job {job.id}: the error rows of {job_id} → {job.output}")

    def results(self, job_id: str) -> Iterator[bytes]:
        return self._client.lines(job_id, "results")

    def errors(self, job_id: str) -> Iterator[bytes]:
        return self._client.lines(job_id, "errors")

    def history(self, job_id: str, after: int) -> Sequence[EventAnswer]:
        return self._client.history(job_id, after=after).data

    def newest_event(self, job_id: str) -> int:
        newest = self._client.history(job_id, limit=1, tail=True).data
        return max((each.id for each in newest), default=0)

    def workers(self, *, lost: bool) -> Sequence[WorkerAnswer]:
        return self._client.workers(lost=lost)


def _absolute(asked: JobRequest) -> JobRequest:
    """The same with each local path written from the root, as the server is somewhere else."""
    engine, _, location = asked.model.partition(":")
    changes: dict[str, object] = {
        "input": storage.normalise(asked.input),
        "output": storage.normalise(asked.output),
    }
    try:
        entry = catalog.engine(engine)
    except InvalidInput:
        # an engine that only the server knows
        return asked.model_copy(update=changes)
    if engine not in models.WITHOUT_FILES:
        changes["model"] = f"{engine}:{models.absolute(location)}"
    changes["options"] = {
        name: models.absolute(value) if name in entry.code_options else value
        for name, value in asked.options.items()
    }
    return asked.model_copy(update=changes)
