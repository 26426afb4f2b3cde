"""The pipe to a compute process, so that one that does not read, or stops in mid-word, cannot hold
its worker.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from typing import Any

from workers.order import MAX_MESSAGE_BYTES

_AHEAD = 64
_LOOK_SECONDS = 0.01


class Line:
    """Two threads, one that sends and one that receives, until the connection ends."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._said: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._heard: queue.Queue[bytes | Exception] = queue.Queue(_AHEAD)
        self._threads = [
            threading.Thread(target=self._send, name="say", daemon=True),
            threading.Thread(target=self._receive, name="hear", daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def say(self, message: bytes) -> None:
        """Send a message after those before it; returns at once, whether it is read or not."""
        self._said.put(message)

    def hear(self, seconds: float) -> bytes | None:
        """The next message, or None where there is none for so long.

        Raises `EOFError` where the process has hung up, `ValueError` for a message that is too big.
        """
        try:
            heard = self._heard.get(timeout=seconds)
        except queue.Empty:
            return None
        if isinstance(heard, Exception):
            raise heard
        return heard

    def close(self) -> None:
        """Hang up, whoever may still hold the other end."""
        with (
            contextlib.suppress(OSError),
            socket.fromfd(self._connection.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as pipe,
        ):
            pipe.shutdown(socket.SHUT_RDWR)
        self._said.put(None)
        while any(thread.is_alive() for thread in self._threads):
            with contextlib.suppress(queue.Empty):
                self._heard.get(timeout=_LOOK_SECONDS)
        self._connection.close()

    def _send(self) -> None:
        with contextlib.suppress(OSError):
            while (message := self._said.get()) is not None:
                self._connection.send_bytes(message)

    def _receive(self) -> None:
        while True:
            heard = self._next()
            self._heard.put(heard)
            if isinstance(heard, Exception):
                return

    def _next(self) -> bytes | Exception:
        try:
            heard: bytes = self._connection.recv_bytes(MAX_MESSAGE_BYTES)
            return heard
        except (EOFError, OSError):
            if not self._connection.readable:
                return ValueError(f"a message of more than {MAX_MESSAGE_BYTES} bytes")
            return EOFError()
