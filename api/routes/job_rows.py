"""What a job gives: results, error records, the manifest."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from fastapi.responses import StreamingResponse

from api.deps import JobIdPath, JobReader
from api.routing import router as new_router
from api.streams import NDJSON, ndjson
from millrace.manifest import Manifest

router = new_router("/v1/jobs/{job_id}", "results")

_LINES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "JSON lines in input order",
        "content": {NDJSON: {"schema": {"type": "string"}}},
        "headers": {
            "X-Incomplete": {
                "description": "Whether there may be more later.",
                "schema": {"type": "string", "enum": ["true", "false"]},
            }
        },
    }
}


@router.get("/results", response_class=StreamingResponse, responses=_LINES)
def read_results(view: JobReader, job_id: JobIdPath) -> StreamingResponse:
    """The result rows that are done, also while the job still runs."""
    job, lines = view.results(job_id)
    return ndjson(job, lines, "results")


@router.get("/errors", response_class=StreamingResponse, responses=_LINES)
def read_errors(view: JobReader, job_id: JobIdPath) -> StreamingResponse:
    """The error records: row, place in the file, code and message.

    While the job runs, those before the first chunk that is still at work.
    """
    job, lines = view.errors(job_id)
    return ndjson(job, lines, "errors")


@router.get("/manifest", responses={200: {"model": Manifest}})
def read_manifest(view: JobReader, job_id: JobIdPath) -> Response:
    """The list of the published parts, byte for byte as it lies beside them."""
    return Response(view.manifest(job_id), media_type="application/json")
