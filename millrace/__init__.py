"""Millrace records: the shared core that every service stands on, and which imports none of them.

A job is one `JobSpec`. Its inputs are pinned and laid out as one space of positions, which the plan
cuts into chunks; a chunk is a row in the database (`db`, `lifecycle`) that workers claim by lease.
Rows are read and written as Arrow record batches (`datasets`) from and to folders or object stores
(`storage`). The manifest, made from database rows alone, is what turns parts into results.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millrace.client import AsyncClient, Client
    from millrace.request import JobRequest

__all__ = ["AsyncClient", "Client", "JobRequest"]

_HOMES = {
    "AsyncClient": "millrace.client",
    "Client": "millrace.client",
    "JobRequest": "millrace.request",
}


def __getattr__(name: str) -> Any:
    """What programs use, loaded when it is asked for: the command line starts without it."""
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module 'millrace' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
