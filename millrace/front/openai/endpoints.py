"""Which endpoints a batch may be for: each reads the body of a request and writes its answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from millrace.errors import FieldInvalid
from millrace.front.openai.embeddings import Embeddings


class Endpoint(Protocol):
    """What may be asked in a batch."""

    column: str
    """The column of the model that answers are made of."""

    def read(self, body: dict[str, Any]) -> tuple[str, tuple[str, ...], str]:
        """Model, texts and style of a request; pydantic's `ValidationError` for what cannot be."""
        ...

    def answer(self, model: str, style: str, values: Sequence[Any]) -> dict[str, Any]:
        """The body of the answer; `values` are those of `column`, one for each text."""
        ...


REGISTERED: dict[str, Endpoint] = {"/v1/embeddings": Embeddings()}

_WITHOUT_ENGINE = ("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/moderations")


def endpoint_of(path: str) -> Endpoint:
    """The endpoint of this path; `FieldInvalid` says which there are."""
    if path in REGISTERED:
        return REGISTERED[path]
    fault = (
        f"no engine for {path} is registered here"
        if path in _WITHOUT_ENGINE
        else f"there is no endpoint {path[:80]!r}"
    )
    raise FieldInvalid("endpoint", fault, f"use one of: {', '.join(REGISTERED)}")
