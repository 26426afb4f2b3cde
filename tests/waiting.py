"""Waiting for what other threads and processes bring about."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import psutil


def until(
    holds: Callable[[], object], what: str, seconds: float = 20.0, *, every: float = 0.002
) -> None:
    """Return as soon as `holds`, asked `every` so many seconds; fail the test where it does not
    within `seconds`.
    """
    limit, between = time.monotonic() + seconds, threading.Event()
    while not holds():
        assert time.monotonic() < limit, f"waited in vain: {what}"
        between.wait(every)


def gone(pid: int) -> bool:
    """Whether no process of this id runs any more; one that nobody has buried does not run."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
