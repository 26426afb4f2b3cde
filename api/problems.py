"""Answers that refuse: problem details (RFC 9457), in the words of HTTP."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Any

from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY
from starlette.types import Scope

from api import openai_errors
from millrace.errors import FieldInvalid, MillraceError
from millrace.problem import MEDIA_TYPE, Problem, status_of

REQUEST_ID = "millrace.request_id"
"""Where the envelope keeps the id of a request, in its scope."""
RETRY_SECONDS = 5

CODE_OF_STATUS: dict[int, str] = {
    400: "MALFORMED",
    404: "ROUTE_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    408: "BODY_TOO_SLOW",
    413: "BODY_TOO_LARGE",
    415: "MEDIA_TYPE",
    500: "INTERNAL",
}
"""For refusals that come from the framework and know nothing but their status."""

_OPTION = re.compile(r"--([a-z][a-z-]*[a-z])")


class Refusal(HTTPException):
    """A refusal of the request itself, before anything of Millrace was asked."""

    def __init__(
        self, status: int, code: str, detail: str, hint: str = "", field: str | None = None
    ) -> None:
        super().__init__(status, detail)
        self.code = code
        self.hint = hint
        self.field = field


def request_id_of(scope: Scope) -> str:
    """The id of the request that is being answered."""
    return str(scope.get(REQUEST_ID, ""))


def body_limit(scope: Scope) -> int:
    """How many bytes the body of this request may have."""
    own = getattr(scope.get("app"), "max_body_size", None)
    return int(scope.get(MAX_BODY_SIZE_SCOPE_KEY) or own or 0)


def of_error(error: MillraceError, scope: Scope) -> JSONResponse:
    """The answer for an error of ours, in the words of HTTP instead of the command line."""
    status = status_of(error)
    headers: dict[str, str] = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_SECONDS)
    detail, hint = _spelled(error.message), _spelled(error.hint)
    if error.code.startswith("DATABASE_"):
        # the message names hosts, paths and versions, which are the operator's alone
        detail, hint = "the database does not do its work at the moment", "try again in a while"
    field = error.field or None if isinstance(error, FieldInvalid) else None
    return problem(status, error.code, detail, scope, hint=hint, field=field, headers=headers)


def problem(
    status: int,
    code: str,
    detail: str,
    scope: Scope,
    *,
    headers: dict[str, str] | None = None,
    **more: Any,
) -> JSONResponse:
    """An answer that refuses, in the shape that the clients of its route read."""
    found = Problem(
        type=f"urn:millrace:problem:{code.lower().replace('_', '-')}",
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        request_id=request_id_of(scope),
        **more,
    )
    if openai_errors.are_spoken(scope["path"]):
        return openai_errors.answer(found, headers)
    content = found.model_dump(exclude_none=True)
    return JSONResponse(content, status, headers, media_type=MEDIA_TYPE)


def _spelled(text: str) -> str:
    """Options of the command line as the fields of a request that they stand for."""
    return _OPTION.sub(lambda option: option[1].replace("-", "_"), text)
