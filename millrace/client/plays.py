"""When to send, when to wait and when to give up: what both clients play, each in its own way.

A play is a generator. It yields steps, gets what came of each, and returns the answer.
"""

from __future__ import annotations

import random
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import httpx

from millrace.answers import JobAnswer
from millrace.client import calls
from millrace.client.calls import Call
from millrace.client.faults import accepted, answer_of, may_pass
from millrace.types import JOB_TERMINAL

T = TypeVar("T")

_FIRST_DELAY_SECONDS = 0.2
_LONGEST_DELAY_SECONDS = 5.0
_LONGEST_RETRY_AFTER = 60.0
_LISTEN_SECONDS = 10.0
_POLL_SECONDS = 1.0
RECONNECT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Pause:
    """Do nothing for so long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request; what comes of it is a response or the error of the transport."""

    call: Call[Any]


@dataclass(frozen=True, slots=True)
class Listen:
    """Read a stream of events until the job moves to an end, or the stream ends or is silent."""

    call: Call[bytes]


Outcome: TypeAlias = httpx.Response | httpx.TransportError | None
Play: TypeAlias = Generator[Pause | Send | Listen, Outcome, T]


def opening(call: Call[Any], url: str, patience: float) -> Play[httpx.Response]:
    """The answer to a call that was accepted, its body unread where it streams.

    What may pass is tried again for `patience` seconds: when the server says, or a little later
    each time.
    """
    began = time.monotonic()
    delay = _FIRST_DELAY_SECONDS
    while True:
        outcome = yield Send(call)
        assert outcome is not None, "a request comes to something"
        wait = max(delay * random.uniform(0.5, 1.0), _retry_after(outcome))
        if not may_pass(outcome) or time.monotonic() - began + wait > patience:
            return accepted(outcome, url)
        yield Pause(wait)
        delay = min(2 * delay, _LONGEST_DELAY_SECONDS)


def asking(call: Call[T], url: str, patience: float) -> Play[T]:
    """What the server answers."""
    response = yield from opening(call, url, patience)
    return answer_of(call, response)


def waiting(job_id: str, url: str, patience: float, timeout: float | None) -> Play[JobAnswer]:
    """The job once it has ended; `TimeoutError` after `timeout` seconds.

    Events tell of the end at once; where they do not come through, it is looked for every second.
    """
    until = None if timeout is None else time.monotonic() + timeout
    while True:
        job = yield from asking(calls.show(job_id), url, patience)
        if job.state in JOB_TERMINAL:
            return job
        left = _LISTEN_SECONDS if until is None else until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"job {job_id} is still {job.state} after {timeout:g} seconds")
        began = time.monotonic()
        yield Listen(calls.events(job_id, None, chunks=False, silence=min(left, _LISTEN_SECONDS)))
        listened = time.monotonic() - began
        yield Pause(max(0.0, min(left, _POLL_SECONDS) - listened))


def _retry_after(outcome: httpx.Response | httpx.TransportError) -> float:
    """The seconds that the server asks for; dates, which only proxies send, are not looked at."""
    if not isinstance(outcome, httpx.Response):
        return 0.0
    told = outcome.headers.get("retry-after", "")
    return min(float(told), _LONGEST_RETRY_AFTER) if told.isdecimal() else 0.0
