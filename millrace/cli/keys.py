"""``millrace keys``: who may use the HTTP API, and for what."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Make, list and revoke keys of the HTTP API.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_COLUMNS = ("id", "tenant", "name", "scopes", "expires", "last used", "state")
_USUAL_SCOPES = ("jobs:read", "jobs:write", "models:read")


@app.command("create")
def create_key(
    name: Annotated[str, typer.Option(help="What it is for; for people.")],
    tenant: Annotated[str, typer.Option(help="On whose behalf it acts.")] = "default",
    scope: Annotated[
        list[str] | None,
        typer.Option(help="May be repeated. [default: jobs:read, jobs:write, models:read]"),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="After 30d, 12h … it is good for nothing.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it; it cannot be shown again."""
    from millrace.access import keys
    from millrace.access.caller import operator
    from millrace.cli.console import say, show_json
    from millrace.cli.equipment import equipped
    from millrace.cli.state import open_state

    lifetime = _lifetime(expires)
    with open_state(equipped()) as database, database.write() as connection:
        text = keys.create(
            connection,
            operator(tenant),
            tenant=tenant,
            name=name,
            scopes=scope or _USUAL_SCOPES,
            lifetime=lifetime,
        )
    if as_json:
        show_json({"id": text.split("_")[1], "tenant": tenant, "key": text})
    else:
        say(text)


@app.command("list")
def list_keys(
    tenant: Annotated[str | None, typer.Option(help="Those of one tenant only.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the keys there are, without their secrets."""
    from dataclasses import asdict

    from millrace.access import keys
    from millrace.cli.console import show_json, show_table
    from millrace.cli.state import opened
    from millrace.front.summary import utc

    with opened(None) as database, database.read() as connection:
        found = keys.views(connection, tenant=tenant)
    if as_json:
        times = ("created_at", "expires_at", "revoked_at", "last_used_at")
        listed = [
            asdict(each) | {name: utc(getattr(each, name)) for name in times} for each in found
        ]
        show_json({"data": listed, "next": None})
        return
    rows = [
        (
            each.id,
            each.tenant,
            each.name,
            " ".join(each.scopes),
            utc(each.expires_at) or "never",
            utc(each.last_used_at) or "never",
            "active" if each.active else "revoked" if each.revoked_at else "expired",
        )
        for each in found
    ]
    show_table(_COLUMNS, rows)


@app.command("revoke")
def revoke_key(
    key: Annotated[str, typer.Argument(metavar="ID", help="The id of a key, from the list.")],
) -> None:
    """Let a key be good for nothing from now on."""
    from millrace.access import keys
    from millrace.access.caller import operator
    from millrace.cli.console import say
    from millrace.cli.state import opened

    with opened(None) as database, database.write() as connection:
        keys.revoke(connection, operator("default"), key)
    say(f"key {key} is revoked")


def _lifetime(expires: str | None) -> float | None:
    from millrace.durations import seconds_in
    from millrace.errors import UsageError

    try:
        return None if expires is None else seconds_in(expires)
    except ValueError as error:
        raise UsageError("OPTION_INVALID", f"--expires: {error}") from None
