"""``millrace db``: the tables of the configured database."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Look after the database.")


@app.command("upgrade")
def upgrade() -> None:
    """Create or migrate all tables of the configured database; does nothing where they are current.

    Any number of processes may do so at once.
    """
    from millrace.cli.console import say
    from millrace.db import migrations
    from millrace.settings import Settings
    from millrace.telemetry import redact

    settings = Settings.load()
    if not settings.database_url:
        settings.state.mkdir(parents=True, exist_ok=True)
    migrations.upgrade(settings.database)
    say(f"{redact(settings.database)} is at revision {migrations.HEAD}")


@app.command("check")
def check(
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> int:
    """Check that the database answers, is up to date and keeps what it has committed."""
    from millrace.cli.checks import database
    from millrace.cli.checks.finding import report
    from millrace.settings import Settings

    return report(database.findings(Settings.load()), as_json=as_json)
