"""A worker process: ``python -m workers --id NAME``, set up by the ``MILLRACE_*`` variables.

The main thread listens to the doorbell (or only for signals, where there is no broker); the first
SIGTERM drains, a second one releases what runs and leaves.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING

from millrace import lifeline
from millrace.settings import Settings
from millrace.telemetry import configure_logging
from millrace.types import JobId, WorkerId
from workers.child import ComputeChild
from workers.spawn import ComputeSettings

if TYPE_CHECKING:
    from workers.chunk_runner import ChunkRunner


def main() -> None:
    arguments = _arguments()
    lifeline.adopt_orphans()
    if arguments.parent:
        lifeline.die_with(arguments.parent)
    settings = Settings.load()
    configure_logging()
    child = ComputeChild(
        ComputeSettings(
            device=settings.device,
            threads=settings.threads,
            memory_bytes=settings.memory_bytes,
            engine=arguments.engine,
            budget_folder=settings.state / "budgets",
        )
    )
    child.start()
    try:
        _work(arguments, settings, child)
    finally:
        child.kill()


def _work(arguments: argparse.Namespace, settings: Settings, child: ComputeChild) -> None:
    # imported here, while the child imports what it needs on another core
    from millrace.clock import SystemClock
    from millrace.db.session import Database
    from millrace.lifecycle import workers as roster
    from workers.chunk_runner import ChunkRunner
    from workers.lookout import Lookout

    database, clock = Database.connect(settings.database), SystemClock()
    runner = ChunkRunner(database, child, arguments.id, settings, clock)
    lookout = Lookout(runner, clock, settings.poll_seconds, arguments.job)
    with database.write(durable=False) as connection:
        roster.register(connection, arguments.id, socket.gethostname(), os.getpid())
    try:
        lookout.start()
        _listen(settings, runner)
    finally:
        runner.drain(settings.grace_seconds)
        lookout.stop()
        with database.write(durable=False) as connection:
            roster.leave(connection, arguments.id)
        database.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workers", description="A Millrace worker")
    parser.add_argument("--id", type=WorkerId, default=f"{socket.gethostname()}-{os.getpid()}")
    parser.add_argument("--job", type=JobId, help="look for chunks of this job only")
    parser.add_argument("--engine", help="import this engine ahead of the first chunk")
    parser.add_argument("--parent", type=int, help="end when this process ends")
    return parser.parse_args()


def _listen(settings: Settings, runner: ChunkRunner) -> None:
    if settings.broker_url:
        _answer_rings(settings, runner)
    else:
        _wait_for_signals(settings, runner)


def _answer_rings(settings: Settings, runner: ChunkRunner) -> None:
    from celery import signals

    from workers.app import worker_app

    grace = iter([settings.grace_seconds])

    def drain(**_: object) -> None:
        runner.drain(next(grace, 0.0))

    signals.worker_shutting_down.connect(drain, weak=False)
    worker = worker_app(settings, runner).Worker(
        pool="solo",
        concurrency=1,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        quiet=True,
    )
    worker.start()


def _wait_for_signals(settings: Settings, runner: ChunkRunner) -> None:
    stop = threading.Event()

    def drain(*_: object) -> None:
        runner.drain(0.0 if stop.is_set() else settings.grace_seconds)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, drain)
    stop.wait()


if __name__ == "__main__":
    main()
