"""``millrace api``: the HTTP server."""

from __future__ import annotations

from typing import Annotated

import typer


def api(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on.")] = 8080,
    inherited: Annotated[
        int | None, typer.Option(hidden=True, help="A socket of the process that starts us.")
    ] = None,
) -> int:
    """Serve the HTTP API; beyond this machine only once there is a key."""
    from millrace.cli.equipment import equipped
    from millrace.cli.interruption import interruptible
    from millrace.cli.service import announced

    settings = equipped()
    with interruptible(), announced("api", settings, host=host, port=port):
        from api.server import serve

        serve(settings, host, port, inherited=inherited)
    return 0
