"""Verbs that run at once: threads on real connections, all let go by one barrier."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

THREADS = 4


@contextmanager
def at_once() -> Iterator[Callable[[list[Callable[[], T]]], list[T]]]:
    """Run functions in threads that start together; their results in order."""
    with ThreadPoolExecutor(THREADS) as pool:

        def run(verbs: list[Callable[[], T]]) -> list[T]:
            barrier = threading.Barrier(len(verbs))

            def start(verb: Callable[[], T]) -> T:
                barrier.wait(timeout=30)
                return verb()

            return list(pool.map(start, verbs))

        yield run
