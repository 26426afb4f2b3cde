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
    url: Annotated[
        str | None, typer.Option(help="A server's. [default: MILLRACE_URL, if set]")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the worker processes that live, with what they hold and when they were last seen."""
    from millrace.cli.console import show_json, show_table
    from millrace.cli.desk import desk_at

    with desk_at(url=url) as desk:
        found = desk.workers(lost=lost)
    if as_json:
        show_json({"data": [each.model_dump(mode="json") for each in found], "next": None})
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
