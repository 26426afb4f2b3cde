"""Free ports, and waiting until somebody answers on one."""

from __future__ import annotations

import contextlib
import socket

from tests.waiting import until


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def answers(port: int) -> bool:
    """Whether somebody takes connections there."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def await_port(port: int, what: str, seconds: float = 60.0) -> None:
    """Return as soon as somebody takes connections there."""
    until(lambda: answers(port), f"{what} listens on port {port}", seconds)
