"""Hears what a compute process says, so that one that stops in mid-word cannot hold its worker."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from typing import Any

from workers.order import MAX_MESSAGE_BYTES

_AHEAD = 64
_LOOK_SECONDS = 0.01


class Listener:
    """A thread that receives from a `multiprocess` connection until that ends."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._heard: queue.Queue[bytes | Exception] = queue.Queue(_AHEAD)
        self._thread = threading.Thread(target=self._run, name="listener", daemon=True)
        self._thread.start()

    def next(self, seconds: float) -> bytes | None:
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
        """Listen no more, whoever may still hold the other end."""
        with (
            contextlib.suppress(OSError),
            socket.fromfd(self._connection.fileno(), socket.AF_UNIX, socket.SOCK_STREAM) as pipe,
        ):
            pipe.shutdown(socket.SHUT_RDWR)
        while self._thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self._heard.get(timeout=_LOOK_SECONDS)
        self._connection.close()

    def _run(self) -> None:
        while True:
            heard = self._receive()
            self._heard.put(heard)
            if isinstance(heard, Exception):
                return

    def _receive(self) -> bytes | Exception:
        try:
            heard: bytes = self._connection.recv_bytes(MAX_MESSAGE_BYTES)
            return heard
        except (EOFError, OSError):
            if not self._connection.readable:
                return ValueError(f"a message of more than {MAX_MESSAGE_BYTES} bytes")
            return EOFError()
