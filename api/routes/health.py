"""Whether this process lives, and whether it can do its work."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response, status

from millrace.db import migrations
from millrace.db.session import Database
from millrace.errors import MillraceError

router = APIRouter(tags=["health"])

_RETRY_SECONDS = "5"


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """200 as long as the process answers at all."""
    return {"status": "ok"}


@router.get("/readyz")
def readyz(request: Request, response: Response) -> dict[str, str]:
    """200 where the database answers and has our tables, else 503 with the reason."""
    database: Database = request.app.state.database
    try:
        migrations.require_current(database)
    except MillraceError as error:
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
        response.headers["Retry-After"] = _RETRY_SECONDS
        return {"status": "unavailable", "code": error.code, "reason": error.message}
    return {"status": "ok"}
