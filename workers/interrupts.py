"""SIGTERM and SIGINT as something to wait for, however many come at once.

A handler that does nothing but be there cannot interrupt anything in a bad moment; the signals
are read from the pipe that Python writes their numbers to.
"""

from __future__ import annotations

import contextlib
import select
import signal
import socket
from types import FrameType, TracebackType

_NUMBERS = (signal.SIGTERM, signal.SIGINT)


class Interrupts:
    """``with Interrupts() as interrupts:`` in the main thread; signals end nothing meanwhile."""

    def __init__(self) -> None:
        self._reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)

    def wait(self, seconds: float) -> int:
        """Wait at most so long for a signal; how many there were."""
        ready, _, _ = select.select([self._reading], [], [], seconds)
        return len(self._reading.recv(4096)) if ready else 0

    def __enter__(self) -> Interrupts:
        # a storm of signals may fill the pipe: one in it is enough
        self._before_fd = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, _nothing) for number in _NUMBERS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        with contextlib.suppress(ValueError):
            signal.set_wakeup_fd(self._before_fd)
        self._reading.close()
        self._writing.close()


def _nothing(number: int, frame: FrameType | None) -> None:
    return None
