"""The application: which routes there are and what they share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from api.routes import health
from millrace.db.session import Database
from millrace.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """The API over the configured database; nothing is opened before the first request."""
    database = Database.connect(settings.database)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        database.close()

    app = FastAPI(title="Millrace", lifespan=lifespan, openapi_url=None)
    app.state.database = database
    app.include_router(health.router)
    return app
