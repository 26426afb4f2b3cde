"""Refusals in OpenAI's shape, on the routes that programs written for it use."""

from __future__ import annotations

from http import HTTPStatus

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from millrace.problem import Problem

_ROUTES = ("/v1/files", "/v1/batches")
_TYPES = {401: "authentication_error", 403: "permission_error"}


class OpenAIErrorBody(BaseModel):
    """What was refused and why."""

    model_config = ConfigDict(frozen=True)

    message: str
    type: str
    param: str | None = Field(description="Where, if it is one field.")
    code: str = Field(description="Stable; the texts may change.")


class OpenAIError(BaseModel):
    """A refusal as OpenAI's clients read it."""

    model_config = ConfigDict(frozen=True)

    error: OpenAIErrorBody


def are_spoken(path: str) -> bool:
    """Whether the refusals of a path have this shape."""
    return any(path == route or path.startswith(f"{route}/") for route in _ROUTES)


def answer(problem: Problem, headers: dict[str, str] | None) -> JSONResponse:
    """The same refusal; what OpenAI calls a bad request has 400 where ours has 422."""
    status = HTTPStatus.BAD_REQUEST if problem.status == 422 else HTTPStatus(problem.status)
    kind = "server_error" if status >= 500 else _TYPES.get(status, "invalid_request_error")
    message = f"{problem.detail} – {problem.hint}" if problem.hint else problem.detail
    body = OpenAIErrorBody(
        message=message, type=kind, param=problem.field, code=problem.code.lower()
    )
    return JSONResponse(OpenAIError(error=body).model_dump(), status, headers)
