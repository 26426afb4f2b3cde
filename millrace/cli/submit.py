"""``millrace submit``: a job for the workers of a server, or of the configured database."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from millrace.cli.job_options import JobOptions, takes_job_options

if TYPE_CHECKING:
    from millrace.cli.desk import Desk


@takes_job_options
def submit(
    asked: JobOptions,
    pool: Annotated[str, typer.Option(help="The workers that are to compute it.")] = "default",
    tenant: Annotated[
        str | None,
        typer.Option(help="On whose behalf; over HTTP the key says it. [default: default]"),
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="The same key again is the same job, and never another one.")
    ] = None,
    webhook: Annotated[
        str | None, typer.Option(help="The one webhook to tell; without it, all of the tenant's.")
    ] = None,
    url: Annotated[
        str | None, typer.Option(help="A server's. [default: MILLRACE_URL, if set]")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Follow the job to its end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the job as JSON.")] = False,
) -> int:
    """Hand a job to the workers of a server, or of the configured database.

    It returns at once, unless told to wait. Every worker of the pool must reach INPUT, OUTPUT and
    MODEL under these very names.
    """
    from millrace.cli.asked import options_named, request_typed
    from millrace.cli.console import readable, say, show_json
    from millrace.cli.desk import desk_at
    from millrace.cli.watch import follow

    with desk_at(url=url, create=True) as desk:
        with options_named():
            request = request_typed(asked, pool, webhook)
            handed = desk.submit(request, tenant=tenant, key=idempotency_key)
        if wait:
            return follow(desk, handed.job.id, as_json=as_json, news=handed.news)
        if as_json:
            show_json(handed.job.model_dump(mode="json"))
        else:
            say(readable(handed.news))
            if stands := _waits_for_workers(desk, pool):
                say(stands)
    return 0


def _waits_for_workers(desk: Desk, pool: str) -> str:
    """A word where nobody is there to compute it; who submits first and starts them later knows."""
    from millrace.errors import AccessDenied

    with suppress(AccessDenied):
        if all(each.pool != pool for each in desk.workers(lost=False)):
            return f"no worker of pool {pool} is there yet: millrace worker --pool {pool}"
    return ""
