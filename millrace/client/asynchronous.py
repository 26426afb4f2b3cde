"""`AsyncClient`: the same as `Client`, for programs with an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import aclosing, suppress
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


def _method(described: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncClient, P], Awaitable[T]]:
    @wraps(described)
    async def ask(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._ask(described(*args, **kwargs))

    return ask


class AsyncClient:
    """``async with AsyncClient() as client: await client.submit(JobRequest(…))``; see `Client`."""

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
        self._http = httpx.AsyncClient(**self._address.options())

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

    async def jobs(
        self, *, states: Collection[JobState] = (), model: str | None = None
    ) -> AsyncIterator[JobAnswer]:
        """All jobs, newest first, fetched page by page as they are asked for."""
        after = None
        while True:
            page = await self.page(after=after, states=states, model=model)
            for job in page.data:
                yield job
            if (after := page.next) is None:
                return

    async def wait(self, job_id: str, *, timeout: float | None = None) -> JobAnswer:
        """The job once it has ended; `TimeoutError` where that takes longer than `timeout`."""
        return await self._play(waiting(job_id, self.url, self._patience, timeout))

    def results(self, job_id: str) -> AsyncIterator[Any]:
        """The result rows in input order; while the job runs, those that are done."""
        return self._documents(calls.rows(job_id, "results"))

    def errors(self, job_id: str) -> AsyncIterator[Any]:
        """The error records; while the job runs, those before the first chunk still at work."""
        return self._documents(calls.rows(job_id, "errors"))

    async def lines(self, job_id: str, kind: str) -> AsyncIterator[bytes]:
        """``results`` or ``errors`` as JSON lines, in pieces as they come."""
        async for piece in self._pieces(calls.rows(job_id, kind)):
            yield piece

    async def events(
        self, job_id: str | None = None, *, after: int | None = None
    ) -> AsyncIterator[EventAnswer]:
        """Each move as it happens: of one job, to its end, or of all from now on, for ever.

        Goes on where it was after an interruption; an event may then come again.
        """
        while True:
            async with aclosing(await self._open(calls.events(job_id, after))) as response:
                with suppress(httpx.TransportError):
                    async for told in EventSource(response).aiter_sse():
                        event = EventAnswer.model_validate_json(told.data)
                        after = event.id
                        yield event
                        if job_id is not None and event.ends_job:
                            return
            await asyncio.sleep(RECONNECT_SECONDS)

    async def close(self) -> None:
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _ask(self, call: Call[T]) -> T:
        return await self._play(asking(call, self.url, self._patience))

    async def _open(self, call: Call[Any]) -> httpx.Response:
        return await self._play(opening(call, self.url, self._patience))

    async def _play(self, play: Play[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = play.send(outcome)
            except StopIteration as end:
                answer: T = end.value
                return answer
            match step:
                case Pause(seconds):
                    await asyncio.sleep(seconds)
                case Send(call):
                    outcome = await self._send(call)
                case Listen(call):
                    await self._listen(call)
                case _:
                    assert_never(step)

    async def _send(self, call: Call[Any]) -> httpx.Response | httpx.TransportError:
        request = self._http.build_request(**self._address.request(call))
        try:
            response = await self._http.send(request, stream=call.streams)
            if not response.is_success:
                await response.aread()
        except httpx.TransportError as error:
            return error
        return response

    async def _listen(self, call: Call[bytes]) -> None:
        with suppress(httpx.TransportError, SSEError, MillraceError):
            response = await self._play(opening(call, self.url, 0.0))
            async with aclosing(response):
                async for told in EventSource(response).aiter_sse():
                    if EventAnswer.model_validate_json(told.data).ends_job:
                        return

    async def _pieces(self, call: Call[bytes]) -> AsyncIterator[bytes]:
        async with aclosing(await self._open(call)) as response:
            with whole(self.url):
                async for piece in response.aiter_bytes():
                    yield piece

    async def _documents(self, call: Call[bytes]) -> AsyncIterator[Any]:
        lines = Lines()
        async for piece in self._pieces(call):
            for document in lines.add(piece):
                yield document
        for document in lines.end():
            yield document
