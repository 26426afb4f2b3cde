"""``millrace doctor``: everything that a machine of the cluster needs, looked at once."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    storage: Annotated[
        list[str] | None,
        typer.Option(help="A folder or s3:// URI that jobs are to write to; may be repeated."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> int:
    """Check everything that a machine needs, and say what to do."""
    from millrace.cli.checks import broker, database, machine, places
    from millrace.cli.checks import settings as setup
    from millrace.cli.checks.finding import report
    from millrace.cli.equipment import equipped

    settings = equipped()
    findings = [
        *setup.findings(settings),
        *database.findings(settings),
        *broker.findings(settings),
        *places.findings(storage or []),
        *machine.findings(settings),
    ]
    return report(findings, as_json=as_json)
