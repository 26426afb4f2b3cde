"""A worker's ear in a process of its own, as in earnest: one byte of output for each bell.

All ears of one process would share kombu's event loop, which no worker has more than one of.
"""

from __future__ import annotations

import os
import sys

from millrace.clock import SystemClock
from millrace.settings import Settings
from millrace.telemetry import configure_logging
from millrace.types import WorkerId
from workers.ear import Ear


def main() -> None:
    """``python -m tests.listener BROKER WORKER POOL``, until standard input ends."""
    url, worker, pool = sys.argv[1:]
    configure_logging("warning", "json")
    settings = Settings(broker_url=url, pool=pool)
    ear = Ear(settings, WorkerId(worker), lambda: _write(b"."), SystemClock())
    ear.start()
    sys.stdin.read()
    ear.close()


def _write(byte: bytes) -> None:
    os.write(sys.stdout.fileno(), byte)


if __name__ == "__main__":
    main()
