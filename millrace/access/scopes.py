"""What a key may be allowed to do, as a closed set."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from millrace.errors import InvalidInput


class Scope(StrEnum):
    JOBS_READ = "jobs:read"
    JOBS_WRITE = "jobs:write"
    MODELS_READ = "models:read"
    MODELS_WRITE = "models:write"
    MODELS_UNSAFE = "models:unsafe"
    """Models that are code, where the operator has switched them on."""
    TRIGGERS_READ = "triggers:read"
    TRIGGERS_WRITE = "triggers:write"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
    WORKERS_READ = "workers:read"
    METRICS_READ = "metrics:read"
    ADMIN = "admin"
    """Everything but `models:unsafe`, for every tenant."""


def grants(held: frozenset[Scope], wanted: Scope) -> bool:
    """Whether somebody with the scopes `held` may do what needs `wanted`."""
    return wanted in held or (Scope.ADMIN in held and wanted is not Scope.MODELS_UNSAFE)


def scopes_of(names: Iterable[str]) -> frozenset[Scope]:
    """The scopes of these names; `InvalidInput` lists those that there are."""
    try:
        found = frozenset(map(Scope, names))
    except ValueError as error:
        raise InvalidInput(
            "UNKNOWN_SCOPE", str(error), f"use some of: {', '.join(Scope)}"
        ) from None
    if not found:
        raise InvalidInput("NO_SCOPE", "a key without scopes is good for nothing", "name one")
    return found
