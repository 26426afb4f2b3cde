"""A whole post office for one test: a database, a webhook that listens, and jobs that move."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_network

from sqlalchemy import Row, select

from millrace.db import webhook_tables
from millrace.db.session import Database
from millrace.lifecycle import endpoints, jobs
from millrace.lifecycle.endpoints import WebhookView
from millrace.outbound.client import Outbound
from millrace.outbound.targets import Rules
from millrace.types import JobId, WebhookEvent
from scheduler.postman import Postman
from tests.lifecycle import stage
from tests.waiting import until
from tests.webhooks.receiver import Receiver, receiving

LOOPBACK = (ip_network("127.0.0.0/8"),)


@dataclass
class Post:
    """One webhook at one receiver; jobs end at `stage.NOW`, and so begins its time."""

    database: Database
    receiver: Receiver
    webhook_id: str
    secret: str
    ended: int = 0

    def postman(self, threads: int = 8) -> Postman:
        ports = Rules(frozenset(range(1, 65_536)), LOOPBACK, plain=True)
        return Postman(self.database, Outbound(ports), interval=1.0, threads=threads)

    def end_job(self, now: float | None = stage.NOW) -> JobId:
        """A job that is told of once, by its failure."""
        self.ended += 1
        with self.database.write() as connection:
            job_id = stage.submitted(connection, f"file:///out/{self.ended}")
            assert jobs.fail(connection, job_id, "X", "why", now=now)
        return job_id

    def round(self, postman: Postman, now: float | None = stage.NOW) -> None:
        """Tick, and wait until each try that it began is recorded."""
        postman.tick(now)
        until(lambda: not postman.is_busy, "the tries are recorded")

    def notices(self) -> list[Row[*tuple[object, ...]]]:
        outbox = webhook_tables.outbox
        with self.database.read() as connection:
            return list(connection.execute(select(outbox).order_by(outbox.c.id)))

    def webhook(self) -> WebhookView:
        with self.database.read() as connection:
            return endpoints.known(connection, self.webhook_id)


@contextmanager
def office(database: Database, *events: WebhookEvent) -> Iterator[Post]:
    with receiving() as receiver:
        with database.write() as connection:
            webhook_id, secret = endpoints.register(
                connection, "default", receiver.url, events or None
            )
        yield Post(database, receiver, webhook_id, secret)
