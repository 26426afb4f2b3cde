"""A port to listen on, or a word about why not."""

from __future__ import annotations

import os
import socket

from millrace.errors import Unavailable


def listening(host: str, port: int) -> socket.socket:
    """A socket that takes connections there; port 0 is any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise Unavailable(
            "ADDRESS_UNAVAILABLE",
            f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}",
            "choose another --port, or end what listens there",
        ) from None
