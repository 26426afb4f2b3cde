"""How a batch stands, in OpenAI's words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, assert_never

from millrace.filing.batches import BatchView, Fault, Outcome
from millrace.lifecycle.views import JobView, Progress
from millrace.types import JobState

Word = Literal[
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """One batch, with what its job adds to it."""

    batch: BatchView
    word: Word
    completed: int
    """Requests; while it runs only known where each request has one text."""
    failed: int
    in_progress_at: float | None
    finalizing_at: float | None
    is_due: bool
    """Its job has ended, and its files are still to be written."""


def status_of(batch: BatchView, job: JobView | None, progress: Progress | None) -> BatchStatus:
    """The status from the rows of a batch and its job; without a job it has failed."""
    rows_are_requests = batch.rows == batch.requests
    ok, err = (progress.rows_ok, progress.rows_err) if progress and rows_are_requests else (0, 0)
    if batch.outcome is not None:
        ok, err = batch.requests_ok or 0, batch.requests_err or 0
    ended_at = job.finished_at if job else None
    return BatchStatus(
        batch=batch,
        word=_word(batch, job),
        completed=ok,
        failed=err,
        in_progress_at=job.started_at if job else None,
        finalizing_at=ended_at,
        is_due=batch.outcome is None and ended_at is not None,
    )


def _word(batch: BatchView, job: JobView | None) -> Word:
    if batch.outcome is not None:
        return batch.outcome.value
    assert job is not None, "a batch without a job has failed"
    match job.state:
        case JobState.VALIDATING:
            return "validating"
        case JobState.QUEUED | JobState.RUNNING | JobState.PAUSED:
            return "in_progress"
        case JobState.CANCELLING | JobState.CANCELLED:
            return "cancelling"
        case (
            JobState.FINALIZING
            | JobState.SUCCEEDED
            | JobState.PARTIAL
            | JobState.FAILED
            | JobState.EXPIRED
        ):
            return "finalizing"
        case _:
            assert_never(job.state)


def outcome_of(job: JobView) -> tuple[Outcome, tuple[Fault, ...]]:
    """How the batch of a job that has ended has ended, and what was wrong with it as a whole."""
    match job.state:
        case JobState.SUCCEEDED | JobState.PARTIAL:
            return Outcome.COMPLETED, ()
        case JobState.EXPIRED:
            return Outcome.EXPIRED, ()
        case JobState.CANCELLED:
            return Outcome.CANCELLED, ()
        case _:
            code = (job.reason_code or "failed").lower()
            return Outcome.FAILED, (Fault(code, job.reason or "the job has failed"),)
