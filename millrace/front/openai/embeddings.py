"""``/v1/embeddings``: a vector for each text."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

MOST_INPUTS = 2_048
_STYLES = {"float": "f", "base64": "b"}


class EmbeddingBody(BaseModel):
    """The body of one request."""

    model_config = ConfigDict(extra="forbid", strict=True)

    model: Annotated[str, Field(min_length=1, max_length=256)]
    input: tuple[str, ...]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None
    user: str | None = None
    """Whoever it is for; as everywhere, it changes nothing."""

    @field_validator("input", mode="before")
    @classmethod
    def _texts(cls, given: Any) -> tuple[str, ...]:
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, list) or not texts:
            raise _unusable("invalid_value", "must be a text or a list of texts, not empty")
        if len(texts) > MOST_INPUTS:
            raise _unusable("invalid_value", f"holds {len(texts):,} texts, {MOST_INPUTS:,} may be")
        if any(_is_tokens(each) for each in (texts, *texts)):
            raise _unusable(
                "unsupported_value", "holds token ids; the models here read text, so send the text"
            )
        if not all(isinstance(each, str) and each for each in texts):
            raise _unusable("invalid_value", "must hold texts that are not empty, nothing else")
        return tuple(texts)

    @field_validator("dimensions")
    @classmethod
    def _no_dimensions(cls, given: int | None) -> int | None:
        if given is not None:
            raise _unusable("unsupported_parameter", "cannot be chosen for the models here")
        return given


class Embeddings:
    """`Endpoint` for engines with a column ``embedding``."""

    column = "embedding"

    def read(self, body: dict[str, Any]) -> tuple[str, tuple[str, ...], str]:
        asked = EmbeddingBody.model_validate(body)
        return asked.model, asked.input, _STYLES[asked.encoding_format]

    def answer(self, model: str, style: str, values: Sequence[Any]) -> dict[str, Any]:
        """Tokens are not counted by the engines, so there is no `usage` but null."""
        write = _base64 if style == _STYLES["base64"] else list
        vectors = [
            {"object": "embedding", "index": index, "embedding": write(vector)}
            for index, vector in enumerate(values)
        ]
        return {"object": "list", "data": vectors, "model": model, "usage": None}


def _base64(vector: Sequence[float]) -> str:
    """32-bit floats, the lowest byte first, as OpenAI's clients read them."""
    return base64.b64encode(np.asarray(vector, dtype="<f4").tobytes()).decode()


def _is_tokens(given: Any) -> bool:
    return isinstance(given, list) and any(isinstance(each, int) for each in given)


def _unusable(kind: str, message: str) -> PydanticCustomError:
    return PydanticCustomError(kind, "{message}", {"message": message})
