"""``millrace tenants``: which storage each tenant may name over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Say which storage a tenant may name over HTTP.")


@app.command("allow")
def allow_storage(
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's name.")],
    root: Annotated[
        list[str] | None,
        typer.Option(help="A folder or s3:// prefix; may be repeated. None: nothing of its own."),
    ] = None,
) -> None:
    """Let a tenant name what lies below these folders and prefixes, and nothing else of its own."""
    from millrace.access import tenants
    from millrace.access.caller import operator
    from millrace.cli.console import readable, say
    from millrace.cli.equipment import equipped
    from millrace.cli.state import open_state
    from millrace.storage.allowance import root_uri

    roots = [root_uri(each) for each in root or ()]
    with open_state(equipped()) as database, database.write() as connection:
        tenants.allow(connection, operator(tenant), tenant, roots)
    say(f"{tenant} may use {readable(', '.join(roots)) or 'no storage of its own'}")


@app.command("list")
def list_tenants(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the tenants of which something was said."""
    from dataclasses import asdict

    from millrace.access import tenants
    from millrace.cli.console import readable, show_json, show_table
    from millrace.cli.state import opened

    with opened(None) as database, database.read() as connection:
        found = tenants.views(connection)
    if as_json:
        show_json({"data": [asdict(each) for each in found], "next": None})
        return
    show_table(
        ("tenant", "storage"), [(each.name, readable(", ".join(each.roots))) for each in found]
    )
