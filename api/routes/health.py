"""Whether this process lives, and whether it can do its work."""

from __future__ import annotations

from typing import Literal

from fastapi import Response, status
from pydantic import BaseModel

from api.deps import DatabaseOf
from api.problems import RETRY_SECONDS
from api.routing import router as new_router
from millrace.db import migrations
from millrace.errors import MillraceError

router = new_router("", "operation")


class Health(BaseModel):
    """How the process is; the reason is in its log."""

    status: Literal["ok", "unavailable"]
    code: str | None = None


@router.get("/healthz", response_model_exclude_none=True)
async def healthz() -> Health:
    """200 as long as the process answers at all."""
    return Health(status="ok")


@router.get("/readyz", response_model_exclude_none=True, responses={503: {"model": Health}})
def readyz(database: DatabaseOf, response: Response) -> Health:
    """200 where the database answers and has our tables, else 503."""
    try:
        migrations.require_current(database)
    except MillraceError as error:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        response.headers["Retry-After"] = str(RETRY_SECONDS)
        return Health(status="unavailable", code=error.code)
    return Health(status="ok")
