"""Signals that ask a process to end, as something that its loop can look at."""

from __future__ import annotations

import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

INTERRUPTED = 130
"""The exit code of a command that somebody interrupted."""


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; the second time they interrupt whatever runs."""
    stop = threading.Event()
    asked = False

    def interrupt(*_: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        # by another thread: this one may be inside the very lock that `set` has to take
        threading.Thread(target=stop.set, daemon=True).start()

    with _answering(interrupt):
        yield stop


@contextmanager
def requests_to_end() -> Iterator[queue.SimpleQueue[int]]:
    """A queue that gets the number of each signal by which somebody asks this process to end."""
    requests: queue.SimpleQueue[int] = queue.SimpleQueue()
    with _answering(lambda number, _: requests.put(number)):
        yield requests


@contextmanager
def _answering(answer: Callable[..., object]) -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, answer) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
