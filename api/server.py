"""The process that serves the API: uvicorn, logging through ours."""

from __future__ import annotations

import ipaddress
import socket

import uvicorn

from api.main import create_app
from millrace.access import keys
from millrace.db.session import Database
from millrace.errors import Conflict
from millrace.listening import listening
from millrace.settings import Settings
from millrace.storage.allowance import root_uri


def serve(settings: Settings, host: str, port: int, *, inherited: int | None = None) -> None:
    """Answer requests until SIGTERM or Ctrl-C; those that run come to their end first.

    `inherited` is the number of a socket that listens there already.

    Raises `Unavailable` where the address cannot be listened to, `Conflict` where others could
    reach it and there is no key, and `InvalidInput` for roots that cannot be.
    """
    for root in (*settings.storage_roots, *settings.model_roots):
        root_uri(root.replace("{tenant}", "tenant"))
    if settings.files_root:
        root_uri(settings.files_root)
    app = create_app(settings)
    if not is_loopback(host):
        _require_key(app.state.database, host)
    config = uvicorn.Config(
        app,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=int(settings.grace_seconds),
    )
    server = uvicorn.Server(config)
    app.state.is_stopping = lambda: server.should_exit
    with (
        listening(host, port) if inherited is None else socket.socket(fileno=inherited) as listener
    ):
        server.run(sockets=[listener])


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _require_key(database: Database, host: str) -> None:
    with database.read() as connection:
        if not keys.exist(connection):
            raise Conflict(
                "NO_KEYS",
                f"others could reach {host}, and there is no key to let the right ones in",
                "make one first: millrace keys create --name admin --scope admin",
            )
