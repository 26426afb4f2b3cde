"""Options of engines: typed, closed, and explained where they do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from millrace.errors import InvalidInput
from millrace.types import Json


class Options(BaseModel):
    """The base of an engine's options; unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BatchOptions(Options):
    """Options of every engine whose batches we form."""

    max_rows: PositiveInt | None = None
    """Upper bound of rows in one batch."""
    max_cost: PositiveInt | None = None
    """A fixed bound of one batch in the engine's unit, instead of one found by probing."""


SomeOptions = TypeVar("SomeOptions", bound=Options)


def read_options(kind: type[SomeOptions], engine: str, options: Mapping[str, Json]) -> SomeOptions:
    """Check `options` against `kind`; `InvalidInput` names each that is unknown or unusable."""
    try:
        return kind.model_validate(dict(options))
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {_words(fault['type'], fault['msg'])}"
            for fault in error.errors()
        )
        known = ", ".join(kind.model_fields) or "none"
        raise InvalidInput(
            "OPTION_INVALID",
            f"unusable options for engine {engine}: {faults}",
            f"it knows these options: {known}",
        ) from None


def _words(kind: str, message: str) -> str:
    return "unknown option" if kind == "extra_forbidden" else message
