"""``millrace worker``: keeps worker processes of one machine alive and lets them go in peace."""

from __future__ import annotations

from typing import Annotated

import typer


def worker(
    pool: Annotated[
        str | None, typer.Option(help="Take the jobs of this pool. [default: default]")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, mps, cuda, cuda:N. [default: auto]")
    ] = None,
    processes: Annotated[
        int | None, typer.Option(min=1, help="Default: one on a GPU, one per core without.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of each process. [default: 1]")
    ] = None,
) -> int:
    """Compute chunks on this machine until somebody asks it to stop.

    SIGTERM (or Ctrl-C) lets what runs come to its end; a second one releases it and leaves.
    """
    from millrace.cli.interruption import requests_to_end
    from millrace.cli.machine import computes_on_cpu, cores, memory_bytes
    from millrace.cli.service import service
    from millrace.cli.supervision import supervise

    asked = {"pool": pool, "device": device, "threads": threads}
    with (
        service("worker", "pool", "device", "threads", **asked) as settings,
        requests_to_end() as requests,
    ):
        size = processes or (cores() if computes_on_cpu(settings.device) else 1)
        memory = settings.memory_bytes or memory_bytes(size)
        supervise(size, settings.model_copy(update={"memory_bytes": memory}), requests)
    return 0
