"""The doorbell: a Celery app that rings workers and never keeps a ledger.

No result backend, no retries, no acknowledgements after work: the database decides who owns a
chunk, so losing, repeating or forging messages costs seconds at most.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any

from celery import Celery
from kombu.entity import Queue
from kombu.exceptions import KombuError

from millrace import topics
from millrace.errors import Unavailable
from millrace.types import WorkerId

_STALE_SECONDS = 60.0
"""A bell that nobody has heard for so long was rung again, or is not worth waking up for."""
_UNUSED_SECONDS = 600.0
"""How long a worker's own queue outlives it."""
_PATIENCE_SECONDS = 2.0
_HEARTBEAT_SECONDS = 20
_ENOUGH = 1_000
"""With so many bells waiting nobody needs another one."""


def celery_app(url: str, patience: float = 10.0) -> Celery:
    """A Celery app with the settings of the protocol, for ringing and for listening.

    A broker that is silent for `patience` seconds is taken for dead.
    """
    app = Celery("millrace", broker=url or "memory://")
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        result_accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        worker_prefetch_multiplier=0,
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_heartbeat=_HEARTBEAT_SECONDS,
        broker_connection_timeout=min(patience, 5.0),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_channel_error_retry=True,
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.2},
        broker_transport_options=_transport_options(url, patience),
    )
    return app


def pool_queue(pool: str) -> Queue:
    """The queue of a pool; a bell in it goes to one of the pool's workers."""
    return _queue(topics.queue(pool), expires=None)


def direct_queue(worker: WorkerId) -> Queue:
    """A worker's own queue, which vanishes some time after the worker."""
    return _queue(topics.direct(worker), expires=_UNUSED_SECONDS)


def _queue(name: str, expires: float | None) -> Queue:
    kind: Any = Queue
    queue: Queue = kind(
        name, exchange="", routing_key=name, message_ttl=_STALE_SECONDS, expires=expires
    )
    return queue


def _transport_options(url: str, patience: float) -> dict[str, object]:
    if not url.startswith("redis"):
        return {"confirm_publish": True}
    shared: dict[str, object] = {"socket_timeout": patience, "health_check_interval": 15}
    if not url.startswith("redis+socket"):
        shared |= {
            "socket_connect_timeout": min(patience, 5.0),
            "socket_keepalive": True,
            "socket_keepalive_options": _keepalive(),
        }
    return shared


def _keepalive() -> dict[int, int]:
    """Find out within a minute that the other end is gone, where the system lets us ask."""
    asked = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
    return {getattr(socket, name): value for name, value in asked.items() if hasattr(socket, name)}


class Doorbell:
    """Rings workers for chunks. Without a broker URL it rings nobody."""

    def __init__(self, url: str) -> None:
        self._app = celery_app(url, _PATIENCE_SECONDS) if url else None
        self._faults: tuple[type[Exception], ...] = (KombuError, OSError)
        if self._app is not None:
            transport = self._app.connection_for_write()
            self._faults += (*transport.connection_errors, *transport.channel_errors)

    def ring(
        self,
        chunks: Iterable[tuple[str, int]],
        *,
        pool: str = "default",
        worker: WorkerId | None = None,
    ) -> None:
        """Send one message per chunk, to whoever of the pool hears it first or to one worker.

        `Unavailable` where the broker does not answer within a few seconds. A queue that nobody
        empties is not filled for ever.
        """
        if self._app is None:
            return
        waiting = list[int]()
        queue: Any = pool_queue(pool) if worker is None else direct_queue(worker)
        try:
            with self._app.producer_pool.acquire(block=True, timeout=5) as producer:
                queue.on_declared = lambda _, messages, __: waiting.append(messages)
                queue(producer.channel).declare()
                for job_id, idx in chunks:
                    if sum(waiting) < _ENOUGH:
                        self._app.send_task(
                            topics.RING,
                            (job_id, idx),
                            queue=queue,
                            declare=(),
                            producer=producer,
                            confirm_timeout=_PATIENCE_SECONDS,
                        )
        except self._faults as error:
            raise Unavailable(
                "BROKER_UNAVAILABLE", f"the broker does not answer: {error}"
            ) from None

    def close(self) -> None:
        if self._app is not None:
            self._app.close()
