"""Every request of the API, described once: what is sent, and what is made of the answer."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from millrace.answers import (
    CallerAnswer,
    EventPage,
    ForecastAnswer,
    JobAnswer,
    JobPage,
    WorkerAnswer,
    WorkerList,
)
from millrace.manifest import Manifest
from millrace.request import JobRequest, RetryRequest
from millrace.types import JobState

T_co = TypeVar("T_co", covariant=True)
M = TypeVar("M", bound=BaseModel)

PAGE = 100
"""The most jobs that a page may have."""
_HISTORY_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Call(Generic[T_co]):
    """One request. Sent twice, each of them has the effect of once."""

    method: str
    path: str
    read: Callable[[bytes], T_co]
    params: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: BaseModel | None = None
    streams: bool = False
    """The answer is read piece by piece."""
    silence: float | None = None
    """Seconds without a byte after which to give up; the client's own where none is given."""


def submit(asked: JobRequest, *, idempotency_key: str | None = None) -> Call[JobAnswer]:
    """Hand in a job, or find the one that does just this already.

    Without a key of yours it gets one of its own, so that trying again never makes a second job.
    """
    key = idempotency_key or str(uuid.uuid4())
    headers = {"Idempotency-Key": key}
    return Call("POST", "/v1/jobs", _as(JobAnswer), headers=headers, body=asked)


def forecast(asked: JobRequest) -> Call[ForecastAnswer]:
    """A dry run: what the job would be cut into, its first bad rows; nothing is stored."""
    params = {"dry_run": "true"}
    return Call("POST", "/v1/jobs", _as(ForecastAnswer), params=params, body=asked)


def page(
    *,
    limit: int = PAGE,
    after: str | None = None,
    states: Collection[JobState] = (),
    model: str | None = None,
) -> Call[JobPage]:
    """One page of jobs, newest first; `after` is `next` of the page before."""
    params = {"limit": limit, "after": after, "state": sorted(states), "model": model}
    return Call("GET", "/v1/jobs", _as(JobPage), params=params)


def show(job_id: str) -> Call[JobAnswer]:
    """One job: how far it is, how fast, what it waits for or died of."""
    return Call("GET", _job(job_id), _as(JobAnswer))


def pause(job_id: str) -> Call[JobAnswer]:
    """Begin no more chunks of a running job; those that run come to their end."""
    return Call("POST", _job(job_id, "pause"), _as(JobAnswer))


def resume(job_id: str) -> Call[JobAnswer]:
    """Let a paused job go on."""
    return Call("POST", _job(job_id, "resume"), _as(JobAnswer))


def cancel(job_id: str) -> Call[JobAnswer]:
    """Stop a job for good; what is committed is kept. One that has ended stays as it is."""
    return Call("POST", _job(job_id, "cancel"), _as(JobAnswer))


def retry(job_id: str, *, errors: bool = False, output: str | None = None) -> Call[JobAnswer]:
    """Let a failed, cancelled or expired job go on with what is not done yet.

    With `errors`, also with what gave error rows; those of a partial job are computed anew by
    another job, which is the answer, with complete results in `output`.
    """
    what = RetryRequest(errors=errors, output=output)
    return Call("POST", _job(job_id, "retry"), _as(JobAnswer), body=what)


def manifest(job_id: str) -> Call[Manifest]:
    """What a finished job has published: parts in input order with rows, bytes and SHA-256."""
    return Call("GET", _job(job_id, "manifest"), Manifest.from_bytes)


def history(
    job_id: str, *, after: int = 0, limit: int = _HISTORY_PAGE, tail: bool = False
) -> Call[EventPage]:
    """What became of a job, oldest first: behind the event with the id `after`, or the `tail`."""
    params = {"limit": limit} | ({"tail": "true"} if tail else {"after": after})
    return Call("GET", _job(job_id, "events"), _as(EventPage), params=params)


def workers(*, lost: bool = False) -> Call[list[WorkerAnswer]]:
    """The worker processes that live; with `lost`, also those not seen for a minute."""
    params = {"lost": "true"} if lost else {}
    return Call("GET", "/v1/workers", _workers, params=params)


def me() -> Call[CallerAnswer]:
    """Whose key this is, and what it is good for."""
    return Call("GET", "/v1/me", _as(CallerAnswer))


def rows(job_id: str, kind: str) -> Call[bytes]:
    """The ``results`` or ``errors`` of a job, as JSON lines."""
    return Call("GET", _job(job_id, kind), bytes, streams=True)


def events(
    job_id: str | None, after: int | None, *, chunks: bool = True, silence: float | None = None
) -> Call[bytes]:
    """Server-sent events of one job or all; without `chunks`, only the moves of jobs themselves."""
    params = {"job": job_id, "after": after} | ({} if chunks else {"chunks": "false"})
    headers = {"Accept": "text/event-stream"}
    return Call(
        "GET", "/v1/events", bytes, params=params, headers=headers, streams=True, silence=silence
    )


def _job(job_id: str, *more: str) -> str:
    return "/".join(("/v1/jobs", quote(job_id, safe=""), *more))


def _as(kind: type[M]) -> Callable[[bytes], M]:
    return kind.model_validate_json


def _workers(content: bytes) -> list[WorkerAnswer]:
    return WorkerList.model_validate_json(content).data
