"""Every refusal of the framework and every error of ours, turned into problem details."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from api import problems
from api.parameters import query_fields
from api.problems import Refusal
from millrace.errors import MillraceError
from millrace.problem import FieldProblem
from millrace.settings_sources import suggestion

_CODES = {"extra_forbidden": "UNKNOWN_FIELD", "missing": "FIELD_MISSING"}
_MOST_SHOWN = 20


def install(app: FastAPI) -> None:
    """Have `app` answer with problem details only."""
    app.add_exception_handler(MillraceError, _of_ours)
    app.add_exception_handler(RequestValidationError, _of_validation)
    app.add_exception_handler(HTTPException, _of_framework)


def _of_ours(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MillraceError)
    return problems.of_error(error, request.scope)


def _of_framework(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = _methods(request) or headers.get("Allow", "")
    if isinstance(error, Refusal):
        return problems.problem(
            error.status_code,
            error.code,
            error.detail,
            request.scope,
            hint=error.hint,
            field=error.field,
            headers=headers,
        )
    code = problems.CODE_OF_STATUS.get(error.status_code, "REFUSED")
    detail, hint = _explained(request, error, headers)
    return problems.problem(
        error.status_code, code, detail, request.scope, hint=hint, headers=headers
    )


def _methods(request: Request) -> str:
    """What this path takes; the framework only knows it of the first route that has the path."""
    path = getattr(request.scope.get("route"), "path", "")
    taken = request.app.openapi()["paths"].get(path, {})
    return ", ".join(sorted(method.upper() for method in taken))


def _explained(request: Request, error: HTTPException, headers: dict[str, str]) -> tuple[str, str]:
    match error.status_code:
        case 404:
            return "there is nothing at this path", "/openapi.json lists what there is"
        case 405:
            return f"{request.method} is not allowed here", f"use {headers.get('Allow', 'another')}"
        case 413:
            limit = problems.body_limit(request.scope)
            return f"the body is larger than {limit:,} bytes", "send less"
        case _:
            return str(error.detail), ""


def _of_validation(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = list(_field_problems(request, error.errors()))
    first = found[0]
    return problems.problem(
        422,
        first.code,
        first.detail,
        request.scope,
        field=first.field or None,
        hint=first.hint,
        errors=[each.told() for each in found] if len(found) > 1 else None,
    )


class _Found:
    def __init__(self, field: str, code: str, detail: str, hint: str) -> None:
        self.field, self.code, self.detail, self.hint = field, code, detail, hint

    def told(self) -> FieldProblem:
        return FieldProblem(field=self.field, code=self.code, detail=self.detail)


def _field_problems(request: Request, faults: Any) -> Iterator[_Found]:
    for fault in faults[:_MOST_SHOWN]:
        place, *names = map(str, fault["loc"])
        field = ".".join(names)
        code = _CODES.get(fault["type"], "FIELD_INVALID")
        hint = ""
        if code == "UNKNOWN_FIELD":
            detail = f"there is no {_WORDS.get(place, 'field')} {field[:100]!r}"
            hint = suggestion(names[-1], _known(request, place)).removeprefix("; ")
        else:
            where = field or f"the {place}"
            detail = f"{where}: {_said(fault)}"
        yield _Found(field, code, detail, hint)


_WORDS = {"query": "parameter", "body": "field"}


def _said(fault: dict[str, Any]) -> str:
    """What is allowed and what was given; texts are not repeated, as they may hold a secret."""
    said = str(fault["msg"]).removeprefix("Value error, ")
    given = fault.get("input")
    if isinstance(given, bool | int | float) or (given is None and fault["type"] != "missing"):
        return f"{said}, not {str(given)[:40]}"
    return said


def _known(request: Request, place: str) -> list[str]:
    """The names that a route takes in its body or its query."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute):
        return []
    if place == "query":
        return list(query_fields(route.dependant))
    shape = None if route.body_field is None else route.body_field.field_info.annotation
    return list(getattr(shape, "model_fields", ()))
