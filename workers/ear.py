"""What a worker hears of the broker: a bell for a chunk, and nothing else.

Celery keeps the connection; its task machinery is never entered, since that would obey callbacks
and chains that a forged message carries.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, ClassVar

from celery import Celery
from celery.worker import WorkController
from celery.worker.consumer import Consumer
from celery.worker.consumer.tasks import Tasks

from millrace import topics
from millrace.broker import celery_app, direct_queue, pool_queue
from millrace.clock import Clock
from millrace.failpoints import failpoint
from millrace.settings import Settings
from millrace.telemetry import fields
from millrace.types import WorkerId

log = logging.getLogger(__name__)

_MAX_IDX = 2**31 - 1
_AGAIN_SECONDS = 0.05
_LONGEST_SECONDS = 5.0
_GOODBYE_SECONDS = 2.0
_SAY_SECONDS = 60.0


class Ear:
    """A thread that listens to the queue of the pool and to the worker's own."""

    def __init__(
        self, settings: Settings, worker: WorkerId, ring: Callable[[], None], clock: Clock
    ) -> None:
        self._app = celery_app(settings.broker_url)
        self._app.amqp.queues.clear()
        for queue in (pool_queue(settings.pool), direct_queue(worker)):
            self._app.amqp.queues.select_add(queue)
        self._app.conf.worker_consumer = f"{__name__}:_Listening"
        self._app.ear = self
        self._ring = ring
        self._clock = clock
        self._heard_at = clock.monotonic()
        self._said_at: float | None = None
        self._dropped = 0
        self._closed = threading.Event()
        self._controller: Any = None
        self._thread = threading.Thread(target=self._run, name="ear", daemon=True)

    @property
    def silent_seconds(self) -> float:
        """How long nothing whatever was heard."""
        return self._clock.monotonic() - self._heard_at

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Hang up; a connection that hangs is left to the end of the process."""
        self._closed.set()
        if self._controller is not None:
            self._controller.signal_consumer_close()
        self._thread.join(_GOODBYE_SECONDS)

    def hear(self, message: Any) -> None:
        """Ring where the message is a bell; drop whatever else it is."""
        self._heard_at = self._clock.monotonic()
        message.ack()
        if is_bell(message):
            failpoint("w.received")
            self._ring()
        else:
            self._drop("it names no chunk")

    def _run(self) -> None:
        breaks = 0
        while not self._closed.is_set():
            if self._listen():
                breaks = 0
            # what is no message at all ends Celery's loop; it must not keep us deaf, nor busy
            breaks += 1
            self._clock.wait(self._closed, min(_AGAIN_SECONDS * 2**breaks, _LONGEST_SECONDS))

    def _listen(self) -> bool:
        """Hear until something breaks; true where it went well for a while."""
        began = self._clock.monotonic()
        controller = self._controller = WorkController(
            app=self._app,
            pool="solo",
            concurrency=1,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        try:
            controller.blueprint.start(controller)
        except Exception as error:
            self._drop(error)
        try:
            controller.stop()
        except Exception as error:
            log.debug("hung up %s", fields(reason=error))
        return self._clock.monotonic() - began > _LONGEST_SECONDS

    def _drop(self, reason: object) -> None:
        """Say once a minute how many messages were none of ours: who sends them may send many."""
        self._dropped += 1
        if self._said_at is None or self._clock.monotonic() - self._said_at >= _SAY_SECONDS:
            log.warning("dropped what is no bell %s", fields(messages=self._dropped, why=reason))
            self._said_at = self._clock.monotonic()
            self._dropped = 0


def is_bell(message: Any) -> bool:
    """Whether a message names a chunk, in JSON, and asks for nothing else."""
    try:
        (job_id, idx), *_ = message.decode()
        named = message.headers["task"] == topics.RING
    except Exception:
        # whatever a decoder may raise on bytes that somebody made up
        return False
    return named and isinstance(job_id, str) and type(idx) is int and 0 <= idx <= _MAX_IDX


class _Bells(Tasks):  # type: ignore[misc]
    """Counts unread messages for each consumer; brokers give up the count over a whole channel."""

    name = "Bells"

    def qos_global(self, c: Any) -> bool:
        return False


class _Listening(Consumer):  # type: ignore[misc]
    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]
        default_steps: ClassVar[list[Any]] = [
            "celery.worker.consumer.connection:Connection",
            _Bells,
            "celery.worker.consumer.consumer:Evloop",
        ]

    def create_task_handler(self, *_: Any, **__: Any) -> Callable[[Any], None]:
        app: Celery = self.app
        hear: Callable[[Any], None] = app.ear.hear
        return hear

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self.app.ear.hear(message)
