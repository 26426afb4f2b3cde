"""``millrace run``: a dataset through a model on this machine, with nothing to start first."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from millrace.cli.job_options import JobOptions, takes_job_options


@takes_job_options
def run(
    asked: JobOptions,
    workers: Annotated[
        int | None, typer.Option(help="Worker processes. [default: one per core]", min=1)
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, mps, cuda, cuda:N. [default: auto]")
    ] = None,
    state: Annotated[Path | None, typer.Option(help="Folder of the job database.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan and compute nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> int:
    """Run a model over a dataset on this machine, without any server.

    Killed at any point and run again with the same arguments, it goes on where it was.
    """
    from millrace.cli import local
    from millrace.cli.asked import spec_typed
    from millrace.cli.equipment import equipped

    settings = equipped(device=device, state=state)
    spec = spec_typed(asked)
    if dry_run:
        return local.preview(spec, workers=workers, as_json=as_json)
    return local.run(spec, settings, workers=workers, as_json=as_json)
