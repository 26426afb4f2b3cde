"""The pipe to a compute process, so that one that does not read, or stops in mid-word, cannot hold
its worker: no call waits longer than it was told to.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from typing import Any

from workers.order import MAX_MESSAGE_BYTES

_HEAD = 4
_PIECE_BYTES = 1 << 16


class Line:
    """Speaks as a `multiprocess` connection does: the length of a message in four bytes first."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._pipe = socket.fromfd(connection.fileno(), socket.AF_UNIX, socket.SOCK_STREAM)
        self._pipe.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._pipe)
        self._said = bytearray()
        self._heard = bytearray()

    def say(self, message: bytes) -> None:
        """Send a message after those before it; what is not read at once is kept here."""
        self._said += len(message).to_bytes(_HEAD, "big") + message
        self._send()

    def hear(self, seconds: float) -> bytes | None:
        """The next message, or None where there is none for so long.

        Raises `EOFError` where the process has hung up, `ValueError` for a message that is too big.
        """
        until = time.monotonic() + seconds
        while (message := self._cut()) is None:
            left = until - time.monotonic()
            if left <= 0:
                return None
            self._exchange(left)
        return message

    def close(self) -> None:
        """Hang up, whoever may still hold the other end."""
        self._pipe.close()
        self._connection.close()

    def _cut(self) -> bytes | None:
        size = int.from_bytes(self._heard[:_HEAD], "big")
        if size > MAX_MESSAGE_BYTES:
            raise ValueError(f"a message of more than {MAX_MESSAGE_BYTES} bytes")
        if len(self._heard) < _HEAD + size or len(self._heard) < _HEAD:
            return None
        message = bytes(self._heard[_HEAD : _HEAD + size])
        del self._heard[: _HEAD + size]
        return message

    def _exchange(self, seconds: float) -> None:
        """Receive and send what can be, waiting for either."""
        self._poll.modify(self._pipe, select.POLLIN | (select.POLLOUT if self._said else 0))
        for _, events in self._poll.poll(seconds * 1_000):
            if events & select.POLLOUT:
                self._send()
            if events & ~select.POLLOUT:
                self._receive()

    def _send(self) -> None:
        # that nobody is there any more is found out by whoever listens for the answer
        with contextlib.suppress(OSError):
            while self._said:
                del self._said[: self._pipe.send(self._said[:_PIECE_BYTES])]

    def _receive(self) -> None:
        try:
            piece = self._pipe.recv(_PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            raise EOFError
        self._heard += piece
