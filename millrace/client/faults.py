"""What goes wrong on the way, as the classes of `millrace.errors`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from pydantic import ValidationError

from millrace.client.calls import Call, T_co
from millrace.errors import InvalidInput, MillraceError, Unavailable
from millrace.problem import Problem, error_of

_AWAY = frozenset({429, 502, 503, 504})


def may_pass(outcome: httpx.Response | httpx.TransportError) -> bool:
    """Whether the same request may fare better in a moment."""
    if isinstance(outcome, httpx.Response):
        return outcome.status_code in _AWAY
    return not isinstance(outcome, httpx.UnsupportedProtocol | httpx.LocalProtocolError)


def answer_of(call: Call[T_co], response: httpx.Response) -> T_co:
    """What the server says; a body that is not as the API writes it is not from our API."""
    try:
        return call.read(response.content)
    except (ValidationError, InvalidInput):
        raise _stranger(response) from None


def accepted(outcome: httpx.Response | httpx.TransportError, url: str) -> httpx.Response:
    """The answer, if it is one; else the error that it stands for is raised."""
    if not isinstance(outcome, httpx.Response):
        raise unreachable(url, outcome)
    if outcome.is_success:
        return outcome
    try:
        problem = Problem.model_validate_json(outcome.content)
    except ValidationError:
        raise _stranger(outcome) from None
    raise error_of(problem)


def unreachable(url: str, error: httpx.TransportError) -> Unavailable:
    reason = " ".join(str(error).split()) or type(error).__name__
    return Unavailable(
        "SERVER_UNREACHABLE",
        f"no answer from {url}: {reason}",
        "is it running there? check the URL (--url, MILLRACE_URL)",
    )


@contextmanager
def whole(url: str) -> Iterator[None]:
    """`Unavailable` where an answer breaks off while it is read."""
    try:
        yield
    except httpx.TransportError as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise Unavailable(
            "ANSWER_BROKEN",
            f"the answer from {url} broke off: {reason}",
            "what came so far is not all; ask again",
        ) from None


def _stranger(response: httpx.Response) -> MillraceError:
    status = response.status_code
    if may_pass(response):
        return Unavailable(
            "SERVER_UNAVAILABLE",
            f"{response.url.host} answers {status} and not as Millrace does",
            "is a proxy before it that cannot reach it? try again in a while",
        )
    where = response.headers.get("location")
    return InvalidInput(
        "NOT_MILLRACE",
        f"{response.url} answers {status} and not as Millrace does",
        f"it points to {where}" if where else "check the URL (--url, MILLRACE_URL)",
    )
