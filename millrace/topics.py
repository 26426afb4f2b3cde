"""Names on the broker. A message is a doorbell: it carries a chunk's id and no authority."""

from __future__ import annotations

RING = "millrace.ring"
"""The one Celery task; its arguments are a job id and a chunk index."""


def queue(pool: str) -> str:
    """The queue that the workers of a pool listen to."""
    return f"millrace.{pool}"
