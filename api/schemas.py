"""What the API answers with. What it takes is `millrace.request.JobRequest`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path
from pydantic import BaseModel, ConfigDict, Field

from millrace.lifecycle.events import Event
from millrace.types import JobState

JobIdPath = Annotated[str, Path(description="A job's id.", max_length=64)]


class Answer(BaseModel):
    """What every answer is made like."""

    model_config = ConfigDict(frozen=True, from_attributes=True, use_attribute_docstrings=True)


class JobAnswer(Answer):
    """A job: what was asked for, how far it is, what it waits for or died of."""

    id: str
    tenant: str
    pool: str
    priority: int
    state: JobState
    reason_code: str | None
    """Why it ended as it did."""
    reason: str | None
    waits_for: str | None
    """Why it does not move at the moment."""
    last_setback: str | None
    """The last failure, if nothing was done since."""
    model: str
    input: str
    output: str
    webhook: str | None
    """The one webhook that is told of it; without it, all of yours are."""
    rows: int
    """Rows with an end: results and error records."""
    rows_ok: int
    rows_err: int
    share: float
    """How much of the input is done, 0 to 1."""
    rows_per_second: float | None
    seconds_left: float | None
    chunks: dict[str, int]
    """Their number by state."""
    created_at: str | None
    started_at: str | None
    finished_at: str | None
    seconds: float | None
    """How long it took."""
    notes: list[str]
    """What planning had to say."""


class JobPage(Answer):
    """Jobs, newest first."""

    data: list[JobAnswer]
    next: str | None
    """Give it as `after` for the next page."""


class FindingAnswer(Answer):
    """A row at the beginning of the input that would be an error record."""

    file: str
    file_row: int
    line: int | None
    byte: int | None
    code: str
    message: str


class ForecastAnswer(Answer):
    """What a dry run has found; nothing was stored."""

    inputs: int
    bytes: int
    rows_about: int
    chunks: int
    columns: dict[str, str]
    notes: list[str]
    rows_looked_at: int
    findings: list[FindingAnswer]
    rows_per_second: float | None
    """What this model did in your earlier jobs."""
    seconds_about: float | None
    from_jobs: int


class RetryRequest(BaseModel):
    """What to run again."""

    model_config = ConfigDict(extra="forbid", strict=True)

    errors: Annotated[bool, Field(description="Chunks with error rows run again, too.")] = False


class WorkerAnswer(Answer):
    """A worker process that lives."""

    id: str
    host: str
    pid: int
    pool: str
    device: str
    version: str
    models: list[str]
    draining: bool
    started_at: float
    seen_at: float
    silent_seconds: float


class WorkerList(Answer):
    data: list[WorkerAnswer]
    next: None = None


class EventAnswer(Answer):
    """One move of a job, or of one of its chunks; times in seconds since the epoch."""

    id: int
    at: float
    job: str
    chunk: int | None
    attempt: int | None
    verb: str
    from_state: str | None
    to_state: str
    detail: dict[str, Any] | None

    @classmethod
    def of(cls, event: Event) -> EventAnswer:
        """The event without the worker, whose name is nobody's business."""
        return cls(
            id=event.id,
            at=event.at,
            job=event.job_id,
            chunk=event.idx,
            attempt=event.attempt,
            verb=event.verb,
            from_state=event.from_state,
            to_state=event.to_state,
            detail=event.detail,
        )


class CallerAnswer(Answer):
    """Whose key this is, and what it is good for."""

    tenant: str
    key_id: str | None
    scopes: list[str]
