"""How a refusal is written down (RFC 9457), and the one table between our errors and statuses.

The API turns errors into problems by it, the client turns problems into the same errors again.
"""

from __future__ import annotations

from http import HTTPStatus

from pydantic import BaseModel, ConfigDict, Field

from millrace.errors import (
    AccessDenied,
    Conflict,
    FieldInvalid,
    InvalidInput,
    MillraceError,
    NotFound,
    Unavailable,
    UsageError,
)

MEDIA_TYPE = "application/problem+json"

STATUS_OF_CLASS: dict[type[MillraceError], HTTPStatus] = {
    UsageError: HTTPStatus.UNPROCESSABLE_ENTITY,
    InvalidInput: HTTPStatus.UNPROCESSABLE_ENTITY,
    NotFound: HTTPStatus.NOT_FOUND,
    AccessDenied: HTTPStatus.FORBIDDEN,
    Conflict: HTTPStatus.CONFLICT,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    MillraceError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The first class that an error is an instance of decides."""

STATUS_OF_CODE: dict[str, HTTPStatus] = {
    "AUTH_MISSING": HTTPStatus.UNAUTHORIZED,
    "AUTH_INVALID": HTTPStatus.UNAUTHORIZED,
    "FILE_TOO_LARGE": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "IDEMPOTENCY_MISMATCH": HTTPStatus.UNPROCESSABLE_ENTITY,
}
"""Codes that go before their class."""

CLASS_OF_CODE: dict[str, type[MillraceError]] = {
    "IDEMPOTENCY_MISMATCH": Conflict,
    "MODEL_REFERENCE": UsageError,
    "OPTION_INVALID": UsageError,
}
"""Codes whose class their status does not tell."""

_CLASS_OF_STATUS: dict[int, type[MillraceError]] = {
    401: AccessDenied,
    403: AccessDenied,
    404: NotFound,
    409: Conflict,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


class FieldProblem(BaseModel):
    """One of several things that are wrong."""

    field: str
    code: str
    detail: str


class Problem(BaseModel):
    """Problem details (RFC 9457): what was refused, why, and what to do."""

    model_config = ConfigDict(frozen=True)

    type: str = Field(description="A name for the kind of problem.")
    title: str
    status: int
    code: str = Field(description="Stable; the texts may change.")
    detail: str
    hint: str = Field(default="", description="What to do next.")
    field: str | None = Field(default=None, description="Where, if it is one field.")
    errors: list[FieldProblem] | None = Field(default=None, description="All, if several.")
    request_id: str = Field(description="Name it when you ask somebody for help.")


def status_of(error: MillraceError) -> HTTPStatus:
    """The HTTP status that stands for an error of ours."""
    if error.code in STATUS_OF_CODE:
        return STATUS_OF_CODE[error.code]
    return next(status for kind, status in STATUS_OF_CLASS.items() if isinstance(error, kind))


def error_of(problem: Problem) -> MillraceError:
    """The error that a problem was made of, as far as it can be told."""
    if problem.code == "FIELD_INVALID":
        return FieldInvalid(problem.field or "", problem.detail, problem.hint)
    otherwise = MillraceError if problem.status >= 500 else InvalidInput
    kind = CLASS_OF_CODE.get(problem.code, _CLASS_OF_STATUS.get(problem.status, otherwise))
    told = f" (request {problem.request_id})" if kind is MillraceError else ""
    return kind(problem.code, problem.detail + told, problem.hint)
