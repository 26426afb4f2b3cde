"""``millrace up``: the whole system on one machine, for a team of one or a first look."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def up(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port of the API on 127.0.0.1.")
    ] = 8080,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Worker processes. [default: one on a GPU, one per core without]"),
    ] = None,
    root: Annotated[
        list[str] | None,
        typer.Option(
            help="Jobs may name what is below this folder or s3:// prefix; may be repeated."
            " [default: the folder you are in]"
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, mps, cuda, cuda:N. [default: auto]")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="Folder of the job database.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Say where it is as JSON, once it is there.")
    ] = False,
) -> int:
    """Start API, scheduler, workers and broker on this machine, and keep them alive.

    The first start makes an admin key and prints it, once. Ctrl-C (or SIGTERM) lets what runs come
    to its end; a second one releases it and leaves. Logs are in the state folder.
    """
    from millrace.cli.equipment import equipped
    from millrace.cli.household import keep_house

    settings = equipped(device=device, state=state)
    return keep_house(settings, port=port, workers=workers, roots=root or (), as_json=as_json)
