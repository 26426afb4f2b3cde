"""Ids that sort by the time at which they were made; nobody can guess the next one."""

from __future__ import annotations

import secrets
import time


def new_id(now: float | None = None) -> str:
    """32 hexadecimal digits: milliseconds since the epoch, then 80 random bits."""
    milliseconds = int((time.time() if now is None else now) * 1000)
    return f"{milliseconds:012x}{secrets.token_hex(10)}"
