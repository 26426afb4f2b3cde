"""Waiting for what other threads and processes bring about."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


def until(holds: Callable[[], object], what: str, seconds: float = 20.0) -> None:
    """Return as soon as `holds`; fail the test where it does not within `seconds`."""
    limit = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < limit, f"waited in vain: {what}"


def gone(pid: int) -> bool:
    """Whether no process of this id runs any more; one that nobody has buried does not run."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
