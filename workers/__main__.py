"""A worker process: ``python -m workers --id NAME``, set up by the ``MILLRACE_*`` variables.

The main thread only waits for signals and watches the others: the first SIGTERM or SIGINT drains,
a second one releases what runs and leaves.
"""

from __future__ import annotations

import argparse
import logging
import os
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

from millrace import lifeline
from millrace.settings import Settings
from millrace.storage import s3_endpoint
from millrace.telemetry import configure_logging
from millrace.types import JobId, WorkerId
from workers.child import ComputeChild
from workers.interrupts import Interrupts
from workers.spawn import ComputeSettings

if TYPE_CHECKING:
    from workers.shift import Shift

DEAF = 75
"""Exit status of a worker that no longer hears a broker which others can reach (EX_TEMPFAIL)."""
_LOOK_SECONDS = 1.0
_STEP_SECONDS = 0.05
_LEAVE_SECONDS = 5.0


def main() -> None:
    arguments = _arguments()
    lifeline.adopt_orphans()
    if arguments.parent:
        lifeline.die_with(arguments.parent)
    settings = Settings.load()
    configure_logging(settings.log_level, settings.log_format)
    s3_endpoint.configure(settings.s3_endpoint_url, settings.s3_region, settings.s3_addressing)
    child = ComputeChild(
        ComputeSettings(
            device=settings.device,
            threads=settings.threads,
            memory_bytes=settings.memory_bytes,
            engine=arguments.engine,
            budget_folder=settings.state / "budgets",
            s3=s3_endpoint.endpoint(),
        )
    )
    with Interrupts() as interrupts:
        child.start()
        try:
            status = _work(arguments, settings, child, interrupts)
        finally:
            # left alone, it would be waited for at the end of this process
            child.kill()
    sys.exit(status)


def _work(
    arguments: argparse.Namespace,
    settings: Settings,
    child: ComputeChild,
    interrupts: Interrupts,
) -> int:
    # imported here, while the child imports what it needs on another core
    from workers.shift import Shift

    shift = Shift(settings, child, arguments.id, arguments.job)
    shift.begin()
    status = _watch(shift, interrupts)
    left = _leave(shift, interrupts, settings.grace_seconds)
    child.shoot()
    if not left:
        # a thread hangs in a network that does not answer: nothing of it is worth waiting for
        logging.shutdown()
        os._exit(status)
    return status


def _watch(shift: Shift, interrupts: Interrupts) -> int:
    """Until somebody wants us to end; the exit status."""
    while not interrupts.wait(_LOOK_SECONDS):
        if not shift.watch():
            return DEAF
    return 0


def _leave(shift: Shift, interrupts: Interrupts, grace: float) -> bool:
    """Drain, or leave at once when asked again; false where that takes longer than it may."""
    shift.drain(grace)
    until = time.monotonic() + grace + _LEAVE_SECONDS
    while not shift.ended:
        if interrupts.wait(_STEP_SECONDS):
            shift.drain(0.0)
            until = min(until, time.monotonic() + _LEAVE_SECONDS)
        shift.watch()
        if time.monotonic() > until:
            return False
    closing = threading.Thread(target=shift.close, daemon=True)
    closing.start()
    closing.join(_LEAVE_SECONDS)
    return not closing.is_alive()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workers", description="A Millrace worker")
    parser.add_argument("--id", type=WorkerId, default=f"{socket.gethostname()}-{os.getpid()}")
    parser.add_argument("--job", type=JobId, help="look for chunks of this job only")
    parser.add_argument("--engine", help="import this engine ahead of the first chunk")
    parser.add_argument("--parent", type=int, help="end when this process ends")
    return parser.parse_args()


if __name__ == "__main__":
    main()
