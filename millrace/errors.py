"""Errors for people: what was given, what is allowed, what to do next.

MillraceError            code, message, hint, exit code
├── UsageError           2   the command line itself
├── InvalidInput         3   a file, row, model or setting that cannot be used
│   ├── InputChanged     3   an input is not what was pinned
│   ├── ModelError       3   a model that cannot be found, loaded or run at all
│   ├── UnsoundResults   3   what chunks have committed cannot be published
│   └── FieldInvalid     3   one field of a request
├── NotFound             4
├── AccessDenied         5   no valid key, or one that does not reach so far
├── Conflict             6   somebody else's output, a state that forbids the move
├── Unavailable          7   a dependency does not answer; trying again may help
├── LeaseLost            -   authority over a chunk is gone; drop the work quietly
└── RowError             -   one row's fault: becomes an error record
"""

from __future__ import annotations

from collections.abc import Collection
from typing import ClassVar


class MillraceError(Exception):
    """Base of everything that we raise on purpose; `code` is stable, `message` may change."""

    exit_code: ClassVar[int] = 1

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} ({self.code})" + (f" – {self.hint}" if self.hint else "")


def explained(message: str, hint: str) -> str:
    """What is wrong and what to do, for where there is room for one text only."""
    return f"{message}. {hint}" if hint else message


class UsageError(MillraceError):
    exit_code = 2


class InvalidInput(MillraceError):
    exit_code = 3


class InputChanged(InvalidInput):
    """An input's size, version or content is not what the plan pinned."""


class FieldInvalid(InvalidInput):
    """What was asked for cannot be, because of one field; empty where it is several together."""

    def __init__(self, field: str, message: str, hint: str = "") -> None:
        super().__init__("FIELD_INVALID", message, hint)
        self.field = field


class ModelError(InvalidInput):
    """A model that cannot be found, loaded or run at all."""


class UnsoundResults(InvalidInput):
    """What `chunks` (by number) have committed is not there any more, or cannot be all there is."""

    def __init__(self, code: str, message: str, chunks: Collection[int]) -> None:
        super().__init__(code, message, "run the job again into another --output")
        self.chunks = chunks


class NotFound(MillraceError):
    exit_code = 4


class AccessDenied(MillraceError):
    exit_code = 5


class Conflict(MillraceError):
    exit_code = 6


class Unavailable(MillraceError):
    exit_code = 7


class LeaseLost(MillraceError):
    """The expected end of a lost race: not a failure, nothing to retry."""

    def __init__(self, message: str = "the lease is no longer ours") -> None:
        super().__init__("LEASE_LOST", message)


class RowError(MillraceError):
    """One row that cannot be predicted; raised or returned, it never stops a job."""
