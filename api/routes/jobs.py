"""Jobs: handing them in, listing them, looking at one."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Header, Query, Response, status
from pydantic import BaseModel, ConfigDict, Field

from api import cursors
from api.deps import AnyCaller, JobIdPath, JobReader, JobWriter
from api.problems import Refusal
from api.routing import router as new_router
from millrace.answers import ForecastAnswer, JobAnswer, JobPage
from millrace.request import JobRequest
from millrace.types import JobState

router = new_router("/v1/jobs", "jobs")

_KEY = re.compile(r"[\x20-\x7e]{1,255}")


class JobFilter(BaseModel):
    """Which jobs to list."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=100)] = 20
    after: Annotated[str | None, Field(description="`next` of the page before.")] = None
    state: Annotated[list[JobState], Field(description="May be repeated.", max_length=20)] = []
    model: Annotated[
        str | None,
        Field(description="ENGINE:LOCATION", max_length=4_096, pattern=r"^[^\x00-\x1f\x7f]*$"),
    ] = None


class Submission(BaseModel):
    """How to take a job."""

    model_config = ConfigDict(extra="forbid")

    dry_run: Annotated[bool, Field(description="Plan and look, store nothing.")] = False


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    responses={200: {"model": JobAnswer | ForecastAnswer, "description": "Known, or a dry run"}},
)
def submit_job(
    view: JobWriter,
    asked: JobRequest,
    how: Annotated[Submission, Query()],
    response: Response,
    idempotency_key: Annotated[
        str | None, Header(description="The same key and body again are the same job.")
    ] = None,
) -> JobAnswer | ForecastAnswer:
    """Hand in a job (201), or find the one that does just this already (200)."""
    key = _checked(idempotency_key)
    if how.dry_run:
        response.status_code = status.HTTP_200_OK
        return ForecastAnswer.model_validate(view.forecast(asked))
    received = view.submit(asked, key)
    if not received.is_new:
        response.status_code = status.HTTP_200_OK
    response.headers["Location"] = f"/v1/jobs/{received.job.id}"
    return JobAnswer.model_validate(view.summary(received.job.id))


@router.get("")
def list_jobs(view: JobReader, caller: AnyCaller, which: Annotated[JobFilter, Query()]) -> JobPage:
    """Jobs, newest first, a page at a time."""
    after = None if which.after is None else cursors.opened(caller, which.after)
    found = view.jobs(
        limit=which.limit, after=after, states=which.state or JobState, model=which.model
    )
    more = len(found) == which.limit
    return JobPage(
        data=[JobAnswer.model_validate(each) for each in found],
        next=cursors.sealed(caller, found[-1]["id"]) if more else None,
    )


@router.get("/{job_id}")
def show_job(view: JobReader, job_id: JobIdPath) -> JobAnswer:
    """One job: how far it is, how fast, what it waits for or died of."""
    return JobAnswer.model_validate(view.summary(job_id))


def _checked(key: str | None) -> str | None:
    if key is not None and not _KEY.fullmatch(key):
        raise Refusal(
            400,
            "IDEMPOTENCY_KEY_INVALID",
            "an idempotency key has 1 to 255 printable ASCII characters",
            "a random UUID is a good one",
            "Idempotency-Key",
        )
    return key
