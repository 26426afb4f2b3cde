"""What Prometheus comes for."""

from __future__ import annotations

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST

from api.deps import DatabaseOf, MetricsReader
from api.metrics import exposition
from api.routing import router as new_router

router = new_router("/metrics", "operation")


@router.get(
    "",
    response_class=Response,
    responses={200: {"content": {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}}}},
)
def metrics(_: MetricsReader, database: DatabaseOf) -> Response:
    """Jobs, chunks, rows, workers and requests, in the text format of Prometheus."""
    return Response(exposition(database), media_type=CONTENT_TYPE_LATEST)
