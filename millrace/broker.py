"""The doorbell: a Celery app that rings workers and never keeps a ledger.

No result backend, no retries, no acknowledgements after work: the database decides who owns a
chunk, so losing, repeating or forging messages costs seconds at most.
"""

from __future__ import annotations

from collections.abc import Iterable

from celery import Celery
from kombu.exceptions import OperationalError

from millrace import topics
from millrace.errors import Unavailable


def celery_app(url: str, pool: str = "default") -> Celery:
    """A Celery app with the settings of the protocol, for ringing and for listening."""
    app = Celery("millrace", broker=url or "memory://")
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        result_accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=False,
        task_reject_on_worker_lost=False,
        task_default_queue=topics.queue(pool),
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=url.startswith("redis"),
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0, "interval_step": 0.2},
        broker_transport_options=_transport_options(url),
    )
    return app


def _transport_options(url: str) -> dict[str, float | bool]:
    if not url.startswith("redis"):
        return {}
    shared: dict[str, float | bool] = {"socket_timeout": 30.0, "health_check_interval": 15}
    if not url.startswith("redis+socket"):
        shared |= {"socket_connect_timeout": 5.0, "socket_keepalive": True}
    return shared


class Doorbell:
    """Rings workers for chunks. Without a broker URL it rings nobody."""

    def __init__(self, url: str, pool: str = "default") -> None:
        self._app = celery_app(url, pool) if url else None
        self._queue = topics.queue(pool)

    def ring(self, chunks: Iterable[tuple[str, int]]) -> None:
        """Send one message per chunk; `Unavailable` where the broker does not answer."""
        if self._app is None:
            return
        try:
            with self._app.producer_pool.acquire(block=True, timeout=5) as producer:
                for job_id, idx in chunks:
                    self._app.send_task(
                        topics.RING, (job_id, idx), queue=self._queue, producer=producer
                    )
        except (OperationalError, OSError) as error:
            raise Unavailable(
                "BROKER_UNAVAILABLE", f"the broker does not answer: {error}"
            ) from None

    def close(self) -> None:
        if self._app is not None:
            self._app.close()
