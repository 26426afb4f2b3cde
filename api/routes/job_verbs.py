"""What may be done to a job; twice is the same as once."""

from __future__ import annotations

from api.deps import JobWriter
from api.routing import router as new_router
from api.schemas import JobAnswer, JobIdPath, RetryRequest

router = new_router("/v1/jobs/{job_id}", "jobs")


@router.post("/pause")
def pause_job(view: JobWriter, job_id: JobIdPath) -> JobAnswer:
    """Begin no more chunks of a running job; those that run come to their end."""
    return JobAnswer.model_validate(view.pause(job_id))


@router.post("/resume")
def resume_job(view: JobWriter, job_id: JobIdPath) -> JobAnswer:
    """Let a paused job go on."""
    return JobAnswer.model_validate(view.resume(job_id))


@router.post("/cancel")
def cancel_job(view: JobWriter, job_id: JobIdPath) -> JobAnswer:
    """Stop a job for good; what is committed is kept. One that has ended stays as it is."""
    return JobAnswer.model_validate(view.cancel(job_id))


@router.post("/retry")
def retry_job(view: JobWriter, job_id: JobIdPath, what: RetryRequest | None = None) -> JobAnswer:
    """Let a failed, cancelled or expired job go on with what is not done yet."""
    return JobAnswer.model_validate(view.retry(job_id, errors=bool(what and what.errors)))
