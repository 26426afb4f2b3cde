"""The doorbell: the only task there is. It carries ids, no authority, no address and no code."""

from __future__ import annotations

import logging

from celery import Celery

from millrace import topics
from millrace.telemetry import fields
from millrace.types import JobId
from workers.chunk_runner import ChunkRunner

log = logging.getLogger(__name__)

_MAX_IDX = 2**31 - 1


def register(app: Celery, runner: ChunkRunner) -> None:
    """Make `app` answer `topics.RING`; whatever is no pair of ids is dropped."""

    def ring(job_id: object, idx: object) -> None:
        if not isinstance(job_id, str) or type(idx) is not int or not 0 <= idx <= _MAX_IDX:
            log.warning("dropped a ring %s", fields(job=job_id, chunk=idx))
            return
        runner.run(JobId(job_id), idx)

    app.task(ring, name=topics.RING, shared=False)
