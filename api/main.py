"""The application: which routes there are and what they share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from api import document, faults
from api.envelope import Envelope
from api.routes import (
    batches,
    caller,
    events,
    files,
    health,
    job_rows,
    job_verbs,
    jobs,
    metrics,
    uploads,
    webhooks,
    workers,
)
from api.scribe import Scribe
from millrace.db.session import Database
from millrace.settings import Settings

ROUTES = (
    health,
    metrics,
    caller,
    jobs,
    job_verbs,
    job_rows,
    workers,
    webhooks,
    events,
    uploads,
    files,
    batches,
)


class Api(FastAPI):
    """FastAPI in our envelope, with our refusals in its document."""

    def build_middleware_stack(self) -> ASGIApp:
        return Envelope(super().build_middleware_stack())

    def openapi(self) -> dict[str, Any]:
        described = super().openapi()
        if "Problem" not in described.get("components", {}).get("schemas", {}):
            document.complete(described)
        return described


def create_app(settings: Settings) -> Api:
    """The API over the configured database; nothing is opened before the first request."""
    database = Database.connect(settings.database)
    scribe = Scribe(database, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        scribe.close()
        database.close()

    app = Api(
        title="Millrace",
        version=version("millrace"),
        summary="Batch inference over large datasets: each row exactly once in the results.",
        lifespan=lifespan,
        docs_url="/docs" if settings.api_docs else None,
        redoc_url=None,
        redirect_slashes=False,
        max_body_size=settings.max_body_bytes,
    )
    app.state.database = database
    app.state.settings = settings
    app.state.scribe = scribe
    app.state.is_stopping = lambda: False
    faults.install(app)
    for group in ROUTES:
        limit = uploads.body_limit(settings) if group is uploads else None
        app.include_router(group.router, max_body_size=limit)
    return app
