"""`Client`: the API of Millrace for programs without an event loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, suppress
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, assert_never

import httpx
from httpx_sse import EventSource, SSEError

from millrace.answers import EventAnswer, JobAnswer
from millrace.client import calls
from millrace.client.address import Address
from millrace.client.calls import Call
from millrace.client.faults import whole
from millrace.client.lines import Lines
from millrace.client.plays import (
    RECONNECT_SECONDS,
    Listen,
    Outcome,
    Pause,
    Play,
    Send,
    asking,
    opening,
    waiting,
)
from millrace.errors import MillraceError
from millrace.types import JobState

P = ParamSpec("P")
T = TypeVar("T")


def _method(described: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], T]:
    @wraps(described)
    def ask(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._ask(described(*args, **kwargs))

    return ask


class Client:
    """``with Client() as client: client.submit(JobRequest(…))``; threads may share one.

    `url` and `api_key` are those of ``MILLRACE_URL`` and ``MILLRACE_API_KEY`` where not given. A
    server that is away is tried again for `patience` seconds; each request may be sent twice
    without harm. `timeout` is the longest silence in seconds that an answer may begin with.

    Raises the classes of `millrace.errors`.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        patience: float = 30.0,
        timeout: float = 120.0,
    ) -> None:
        self._address = Address.of(url, api_key, timeout)
        self._patience = patience
        self._http = httpx.Client(**self._address.options())

    @property
    def url(self) -> str:
        """Where the API is."""
        return self._address.url

    submit = _method(calls.submit)
    forecast = _method(calls.forecast)
    page = _method(calls.page)
    show = _method(calls.show)
    pause = _method(calls.pause)
    resume = _method(calls.resume)
    cancel = _method(calls.cancel)
    retry = _method(calls.retry)
    manifest = _method(calls.manifest)
    history = _method(calls.history)
    workers = _method(calls.workers)
    me = _method(calls.me)

    def jobs(
        self, *, states: Collection[JobState] = (), model: str | None = None
    ) -> Iterator[JobAnswer]:
        """All jobs, newest first, fetched page by page as they are asked for."""
        after = None
        while True:
            page = self.page(after=after, states=states, model=model)
            yield from page.data
            if (after := page.next) is None:
                return

    def wait(self, job_id: str, *, timeout: float | None = None) -> JobAnswer:
        """The job once it has ended; `TimeoutError` where that takes longer than `timeout`."""
        return self._play(waiting(job_id, self.url, self._patience, timeout))

    def results(self, job_id: str) -> Iterator[Any]:
        """The result rows in input order; while the job runs, those that are done."""
        return self._documents(calls.rows(job_id, "results"))

    def errors(self, job_id: str) -> Iterator[Any]:
        """The error records; while the job runs, those before the first chunk still at work."""
        return self._documents(calls.rows(job_id, "errors"))

    def lines(self, job_id: str, kind: str) -> Iterator[bytes]:
        """``results`` or ``errors`` as JSON lines, in pieces as they come."""
        yield from self._pieces(calls.rows(job_id, kind))

    def events(
        self, job_id: str | None = None, *, after: int | None = None
    ) -> Iterator[EventAnswer]:
        """Each move as it happens: of one job, to its end, or of all from now on, for ever.

        Goes on where it was after an interruption; an event may then come again.
        """
        while True:
            with (
                closing(self._open(calls.events(job_id, after))) as response,
                suppress(httpx.TransportError),
            ):
                for told in EventSource(response).iter_sse():
                    event = EventAnswer.model_validate_json(told.data)
                    after = event.id
                    yield event
                    if job_id is not None and event.ends_job:
                        return
            time.sleep(RECONNECT_SECONDS)

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _ask(self, call: Call[T]) -> T:
        return self._play(asking(call, self.url, self._patience))

    def _open(self, call: Call[Any]) -> httpx.Response:
        return self._play(opening(call, self.url, self._patience))

    def _play(self, play: Play[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = play.send(outcome)
            except StopIteration as end:
                answer: T = end.value
                return answer
            match step:
                case Pause(seconds):
                    time.sleep(seconds)
                case Send(call):
                    outcome = self._send(call)
                case Listen(call):
                    self._listen(call)
                case _:
                    assert_never(step)

    def _send(self, call: Call[Any]) -> httpx.Response | httpx.TransportError:
        request = self._http.build_request(**self._address.request(call))
        try:
            response = self._http.send(request, stream=call.streams)
            if not response.is_success:
                response.read()
        except httpx.TransportError as error:
            return error
        return response

    def _listen(self, call: Call[bytes]) -> None:
        with suppress(httpx.TransportError, SSEError, MillraceError):
            response = self._play(opening(call, self.url, 0.0))
            with closing(response):
                for told in EventSource(response).iter_sse():
                    if EventAnswer.model_validate_json(told.data).ends_job:
                        return

    def _pieces(self, call: Call[bytes]) -> Iterator[bytes]:
        with closing(self._open(call)) as response, whole(self.url):
            yield from response.iter_bytes()

    def _documents(self, call: Call[bytes]) -> Iterator[Any]:
        lines = Lines()
        for piece in self._pieces(call):
            yield from lines.add(piece)
        yield from lines.end()
