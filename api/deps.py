"""What routes ask for: who calls, and Millrace as that caller may see it."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

from fastapi import BackgroundTasks, Depends, Path, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from api.scribe import Scribe
from millrace.access import keys
from millrace.access.caller import Caller
from millrace.access.scopes import Scope
from millrace.db.session import Database
from millrace.errors import AccessDenied, Unavailable
from millrace.front.openai.batch_desk import BatchDesk
from millrace.front.openai.file_shelf import FileShelf
from millrace.front.tenant_view import TenantView
from millrace.front.webhook_book import WebhookBook

_bearer = HTTPBearer(
    scheme_name="key",
    bearerFormat="mr_<id>_<secret>_<checksum>",
    description="A key that `millrace keys create` has printed.",
    auto_error=False,
)


def database_of(request: Request) -> Database:
    """The database of the application."""
    database: Database = request.app.state.database
    return database


def caller_of(
    database: Annotated[Database, Depends(database_of)],
    afterwards: BackgroundTasks,
    given: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)],
) -> Caller:
    """Whose key came along; `AccessDenied` says the same of every key that is not valid."""
    if given is None:
        raise AccessDenied(
            "AUTH_MISSING", "no key came along", "send the header Authorization: Bearer mr_…"
        )
    with database.read() as connection:
        found = keys.identify(connection, given.credentials)
    if found is None:
        raise AccessDenied(
            "AUTH_INVALID",
            "this key is not valid",
            "check that it is whole; an operator sees which there are: millrace keys list",
        )
    if found.use_is_stale:
        afterwards.add_task(_note_use, database, found.caller)
    return found.caller


def allowed(scopes: SecurityScopes, caller: Annotated[Caller, Depends(caller_of)]) -> Caller:
    """The caller, who has every scope that the route needs."""
    for scope in scopes.scopes:
        caller.require(Scope(scope))
    return caller


def view_of(
    request: Request,
    database: Annotated[Database, Depends(database_of)],
    caller: Annotated[Caller, Depends(allowed)],
) -> TenantView:
    """Millrace as the caller sees it."""
    return TenantView(database, request.app.state.settings, caller)


def webhooks_of(
    request: Request,
    database: Annotated[Database, Depends(database_of)],
    caller: Annotated[Caller, Depends(allowed)],
) -> WebhookBook:
    """The caller's webhooks."""
    return WebhookBook(database, request.app.state.settings, caller)


def shelf_of(
    request: Request,
    database: Annotated[Database, Depends(database_of)],
    caller: Annotated[Caller, Depends(allowed)],
) -> FileShelf:
    """The files of the caller."""
    return FileShelf(database, request.app.state.settings, caller)


def desk_of(
    request: Request,
    database: Annotated[Database, Depends(database_of)],
    caller: Annotated[Caller, Depends(allowed)],
) -> BatchDesk:
    """The batches of the caller."""
    return BatchDesk(database, request.app.state.settings, caller)


def scribe_of(request: Request) -> Scribe:
    """Who writes the files of batches that have ended."""
    scribe: Scribe = request.app.state.scribe
    return scribe


JobReader = Annotated[TenantView, Security(view_of, scopes=[Scope.JOBS_READ.value])]
JobWriter = Annotated[TenantView, Security(view_of, scopes=[Scope.JOBS_WRITE.value])]
WebhookReader = Annotated[WebhookBook, Security(webhooks_of, scopes=[Scope.WEBHOOKS_READ.value])]
WebhookWriter = Annotated[WebhookBook, Security(webhooks_of, scopes=[Scope.WEBHOOKS_WRITE.value])]
FileReader = Annotated[FileShelf, Security(shelf_of, scopes=[Scope.JOBS_READ.value])]
FileWriter = Annotated[FileShelf, Security(shelf_of, scopes=[Scope.JOBS_WRITE.value])]
BatchReader = Annotated[BatchDesk, Security(desk_of, scopes=[Scope.JOBS_READ.value])]
BatchWriter = Annotated[BatchDesk, Security(desk_of, scopes=[Scope.JOBS_WRITE.value])]
ScribeOf = Annotated[Scribe, Depends(scribe_of)]
WorkerReader = Annotated[TenantView, Security(view_of, scopes=[Scope.WORKERS_READ.value])]
MetricsReader = Annotated[Caller, Security(allowed, scopes=[Scope.METRICS_READ.value])]
AnyCaller = Annotated[Caller, Depends(caller_of)]
JobIdPath = Annotated[str, Path(description="A job's id.", max_length=64)]
DatabaseOf = Annotated[Database, Depends(database_of)]


def _note_use(database: Database, caller: Caller) -> None:
    assert caller.key_id is not None, "an operator at the command line sends no request"
    with suppress(Unavailable), database.write(durable=False) as connection:
        keys.note_use(connection, caller.key_id)
