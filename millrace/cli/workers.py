"""``millrace workers``: who is there to compute."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Look at the worker processes there are.")

_COLUMNS = ("id", "pool", "device", "host", "pid", "version", "models", "seen")


@app.command("list")
def list_workers(
    lost: Annotated[
        bool, typer.Option("--lost", help="Also those that were not seen for a minute.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the worker processes that live, with what they hold and when they were last seen."""
    from dataclasses import asdict

    from millrace.cli.console import show_json, show_table
    from millrace.cli.state import opened
    from millrace.lifecycle import queries

    with opened(None) as database, database.read() as connection:
        found = queries.workers(connection, seen_within=None if lost else 60.0)
    if as_json:
        show_json({"data": [asdict(each) for each in found], "next": None})
        return
    rows = [
        (
            each.id,
            each.pool,
            each.device,
            each.host,
            str(each.pid),
            each.version,
            str(len(each.models)),
            f"{each.silent_seconds:.0f} s ago{', draining' if each.draining else ''}",
        )
        for each in found
    ]
    show_table(_COLUMNS, rows)
