"""The Celery app of a worker process."""

from __future__ import annotations

from celery import Celery

from millrace.broker import celery_app
from millrace.settings import Settings
from workers.chunk_runner import ChunkRunner
from workers.tasks import register


def worker_app(settings: Settings, runner: ChunkRunner) -> Celery:
    """An app that answers the doorbell by having `runner` look at the chunk."""
    app = celery_app(settings.broker_url, settings.pool)
    register(app, runner)
    return app
