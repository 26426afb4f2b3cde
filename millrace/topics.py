"""Names on the broker. A message is a doorbell: it carries a chunk's id and no authority."""

from __future__ import annotations

from millrace.types import WorkerId

RING = "millrace.ring"
"""The one Celery task; its arguments are a job id and a chunk index."""


def queue(pool: str) -> str:
    """The queue that all workers of a pool listen to."""
    return f"millrace.{pool}"


def direct(worker: WorkerId) -> str:
    """The queue that one worker alone listens to."""
    return f"millrace.worker.{worker}"
