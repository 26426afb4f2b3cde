"""``millrace submit``: a job for the workers of the configured database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from millrace.cli.job_options import JobOptions, takes_job_options

if TYPE_CHECKING:
    from millrace.db.session import Database

_SILENT_SECONDS = 60.0


@takes_job_options
def submit(
    asked: JobOptions,
    pool: Annotated[str, typer.Option(help="The workers that are to compute it.")] = "default",
    tenant: Annotated[str, typer.Option(help="On whose behalf; tenants share fairly.")] = "default",
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key again is the same job, and never another one.")
    ] = None,
    webhook: Annotated[
        str | None, typer.Option(help="The one webhook to tell; without it, all of the tenant's.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job to its end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the job as JSON.")] = False,
) -> int:
    """Hand a job to the workers of the configured database.

    It returns at once, unless told to wait. Every worker of the pool must reach INPUT, OUTPUT and
    MODEL under these very names.
    """
    from millrace.access.caller import operator
    from millrace.cli.asked import spec_typed
    from millrace.cli.console import readable, say, show_json
    from millrace.cli.equipment import equipped
    from millrace.cli.state import open_state
    from millrace.cli.watch import follow
    from millrace.front.reception import Sender, receive
    from millrace.front.summary import summary_of

    settings = equipped()
    spec = spec_typed(asked, pool=pool, webhook=webhook)
    with open_state(settings) as database:
        sender = Sender(operator(tenant), idempotency_key, spec.spec_hash())
        received = receive(database, spec, sender)
        if wait:
            return follow(database, received.job.id, as_json=as_json, news=received.news)
        if as_json:
            show_json(summary_of(database, received.job.id))
        else:
            say(readable(received.news))
            if stands := _waits_for_workers(database, spec.pool):
                say(stands)
    return 0


def _waits_for_workers(database: Database, pool: str) -> str:
    """A word where nobody is there to compute it; who submits first and starts them later knows."""
    from millrace.lifecycle import queries

    with database.read() as connection:
        alive = queries.workers(connection, seen_within=_SILENT_SECONDS)
    if any(each.pool == pool for each in alive):
        return ""
    return f"no worker of pool {pool} is there yet: millrace worker --pool {pool}"
