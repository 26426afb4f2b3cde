"""JSON without surprises: what two readers could understand differently is refused.

That is: duplicate keys, NaN and infinities, numbers that lose their value, deep nesting, control
characters and halves of characters.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute

from api.parameters import query_fields, refuse_twins
from api.problems import Refusal

MAX_DEPTH = 32

_MAX_DIGITS = 40
_TEXT = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_UNWANTED = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class StrictRequest(Request):
    """A request whose JSON is read by `parsed`."""

    async def json(self) -> Any:
        return parsed(await self.body())


class StrictRoute(APIRoute):
    """A route that takes JSON only as JSON, and strictly; all our routers make such."""

    def get_route_handler(self) -> Any:
        answer = super().get_route_handler()
        takes_json = self.body_field is not None
        parameters = query_fields(self.dependant)

        async def strictly(request: Request) -> Any:
            refuse_twins(request, parameters)
            if takes_json and _has_body(request):
                _require_json(request)
            return await answer(StrictRequest(request.scope, request.receive))

        return strictly


def parsed(body: bytes) -> Any:
    """The document; `Refusal` tells where it is no such JSON."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise _malformed("JSON_INVALID", f"byte {error.start} is not UTF-8") from None
    if _depth(text) > MAX_DEPTH:
        raise _malformed("JSON_TOO_DEEP", f"more than {MAX_DEPTH} levels of nesting")
    try:
        document = json.loads(
            text,
            object_pairs_hook=_distinct,
            parse_constant=_no_constant,
            parse_int=_whole,
            parse_float=_finite,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise _malformed("JSON_INVALID", f"{place}: {error.msg}") from None
    for field, text in _texts(document, ""):
        if _UNWANTED.search(text):
            raise Refusal(
                422,
                "CONTROL_CHARACTER",
                f"{field or 'a name'} holds a control character or half of one",
                "remove it",
                field or None,
            )
    return document


def _has_body(request: Request) -> bool:
    length = request.headers.get("content-length", "0")
    return length != "0" or "transfer-encoding" in request.headers


def _require_json(request: Request) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != "application/json":
        raise Refusal(
            415,
            "MEDIA_TYPE",
            f"the body is {given[:80]!r}" if given else "the body has no Content-Type",
            "send Content-Type: application/json",
        )


def _depth(text: str) -> int:
    depth = deepest = 0
    for bracket in _BRACKET.finditer(_TEXT.sub("", text)):
        depth += 1 if bracket[0] in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _malformed("JSON_DUPLICATE_KEY", f"the key {twice[:80]!r} stands there twice")
    return found


def _no_constant(name: str) -> Any:
    raise _malformed("JSON_INVALID", f"{name} is no JSON")


def _whole(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise _malformed("JSON_NUMBER", f"a number of {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _malformed("JSON_NUMBER", f"{digits[:40]} is larger than a number can be")
    return number


def _texts(document: Any, place: str) -> Iterator[tuple[str, str]]:
    """Every text in the document with its place; of keys the place is that of their object."""
    match document:
        case str():
            yield place, document
        case list():
            for index, each in enumerate(document):
                yield from _texts(each, f"{place}.{index}".lstrip("."))
        case dict():
            for name, each in document.items():
                yield place, name
                yield from _texts(each, f"{place}.{name}".lstrip("."))
        case _:
            return


def _malformed(code: str, detail: str) -> Refusal:
    return Refusal(400, code, f"the body cannot be read: {detail}", "send one JSON object")
