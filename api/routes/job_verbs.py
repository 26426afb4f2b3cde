"""What may be done to a job; twice is the same as once."""

from __future__ import annotations

from fastapi import Response, status

from api.deps import JobIdPath, JobWriter
from api.routing import router as new_router
from millrace.answers import JobAnswer
from millrace.request import RetryRequest

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


@router.post(
    "/retry", responses={201: {"model": JobAnswer, "description": "Another job has begun"}}
)
def retry_job(
    view: JobWriter, job_id: JobIdPath, response: Response, what: RetryRequest | None = None
) -> JobAnswer:
    """Let a failed, cancelled or expired job go on with what is not done yet.

    With `errors` a partial job is followed by a new one (201), which computes its error rows anew,
    keeps all others and writes complete results into a folder of its own.
    """
    asked = what or RetryRequest()
    received = view.retry(job_id, errors=asked.errors, output=asked.output)
    if received.is_new:
        response.status_code = status.HTTP_201_CREATED
        response.headers["Location"] = f"/v1/jobs/{received.job.id}"
    return JobAnswer.model_validate(view.summary(received.job.id))
