"""The OpenAPI document, with every refusal that an operation may answer with.

Which those are follows from what the operation takes, so no route has to list them.
"""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel

from api import openai_errors
from api.openai_errors import OpenAIError
from millrace.problem import MEDIA_TYPE, Problem

_OURS_INSTEAD = ("HTTPValidationError", "ValidationError")
_LIVENESS = ("/healthz",)


def complete(document: dict[str, Any]) -> None:
    """Add the refusals to an OpenAPI document in place."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for kind in (Problem, OpenAIError):
        shape = kind.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= shape.pop("$defs", {})
        schemas[kind.__name__] = shape
    for name in _OURS_INSTEAD:
        schemas.pop(name, None)
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            responses = operation["responses"]
            for status in sorted(_refusals(path, method, operation)):
                if status == 422 or str(status) not in responses:
                    responses[str(status)] = _refusal(path, status)


def _refusal(path: str, status: int) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": _reference(Problem)}}
    if openai_errors.are_spoken(path):
        content = {"application/json": {"schema": _reference(OpenAIError)}}
    return {"description": HTTPStatus(status).phrase, "content": content}


def _reference(kind: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _refusals(path: str, method: str, operation: dict[str, Any]) -> Iterator[int]:
    if path in _LIVENESS:
        return
    yield from (500, 503)
    if operation.get("security"):
        yield from (401, 403)
    if operation.get("parameters"):
        yield from (400, 422)
    if "{" in path:
        yield from (404, 409)
    if method == "post":
        yield from (400, 409)
    if "requestBody" in operation:
        yield from (400, 404, 408, 413, 415, 422)
