"""Two ways to work beside the main thread: ahead of it, and behind it."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Ended:
    error: BaseException | None


def ahead(source: Iterator[T], depth: int, name: str) -> Generator[T, None, None]:
    """The items of `source`, computed by a thread that stays up to `depth` items ahead.

    What `source` raises is raised here, after the items before it. Closing this generator lets the
    thread finish its present item, and waits for it.
    """
    ready: queue.SimpleQueue[T | _Ended] = queue.SimpleQueue()
    room = threading.Semaphore(depth)
    stopped = threading.Event()

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in source:
                ready.put(item)
                room.acquire()
                if stopped.is_set():
                    break
        except BaseException as raised:
            error = raised
        ready.put(_Ended(error))

    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        while not isinstance(item := ready.get(), _Ended):
            room.release()
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
        room.release()
        thread.join()
        if isinstance(source, Generator):
            source.close()


class Behind(Generic[T]):
    """A thread that does `work` on each item given to it, in order, up to `depth` items behind.

    What `work` raises is raised by a later `give`, or at the end of the with block. The last item
    is left to the end of the block, so that a single one needs no thread.
    """

    def __init__(self, work: Callable[[T], None], depth: int, name: str) -> None:
        self._work = work
        self._depth = depth
        self._last: list[T] = []
        self._pending: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    def give(self, item: T) -> None:
        """Hand over one item; waits while `depth` items are unfinished."""
        while len(self._pending) >= self._depth or (self._pending and self._pending[0].done()):
            self._pending.popleft().result()
        self._pending.extend(self._thread.submit(self._work, each) for each in self._last)
        self._last = [item]

    def __enter__(self) -> Behind[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=kind is not None)
        if kind is None:
            while self._pending:
                self._pending.popleft().result()
            for item in self._last:
                self._work(item)
