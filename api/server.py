"""The process that serves the API: uvicorn, logging through ours."""

from __future__ import annotations

import socket

import uvicorn

from api.main import create_app
from millrace.errors import Unavailable
from millrace.settings import Settings


def serve(settings: Settings, host: str, port: int) -> None:
    """Answer requests until SIGTERM or Ctrl-C; those that run come to their end first.

    Raises `Unavailable` where the address cannot be listened to.
    """
    config = uvicorn.Config(
        create_app(settings),
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=int(settings.grace_seconds),
    )
    with _listening(host, port) as listener:
        uvicorn.Server(config).run(sockets=[listener])


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise Unavailable(
            "ADDRESS_UNAVAILABLE",
            f"cannot listen on {host}:{port}: {error.strerror}",
            "choose another --host or --port",
        ) from None
