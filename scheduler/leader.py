"""One of several schedulers ticks, by a lease in the database.

Only so that they do not do the same work twice: every verb is guarded, and a leader that was
frozen and wakes up after another one has taken over does no harm.
"""

from __future__ import annotations

import logging
import math

from millrace.clock import Clock
from millrace.db.session import Database
from millrace.failpoints import failpoint
from millrace.lifecycle import leadership
from millrace.telemetry import fields
from scheduler.runner import Service

log = logging.getLogger(__name__)

NAME = "scheduler"
_STANDBY_SECONDS = 0.5


class Leader:
    """A service that campaigns; others ask it whether we lead at this moment."""

    def __init__(self, database: Database, holder: str, *, seconds: float, clock: Clock) -> None:
        self._database = database
        self._holder = holder
        self._seconds = seconds
        self._clock = clock
        self._until = -math.inf
        self._term: int | None = None

    def tick(self, now: float | None = None) -> float:
        """Become or stay the leader for so many `seconds`, where nobody else is."""
        # Judged by our own clock from before the question, we never lead longer than we are let.
        asked = self._clock.monotonic()
        with self._database.write() as connection:
            term = leadership.campaign(connection, NAME, self._holder, self._seconds, now=now)
        if term != self._term:
            log.info("leads %s" if term else "stands by %s", fields(holder=self._holder, term=term))
        self._term = term
        self._until = -math.inf if term is None else asked + self._seconds
        if term is not None:
            failpoint("r.elected")
        return self._seconds / 3

    def leads(self) -> bool:
        """Whether nobody else can have become the leader yet."""
        return self._clock.monotonic() < self._until

    def resign(self) -> None:
        """Let another one take over at once."""
        self._until, self._term = -math.inf, None
        with self._database.write() as connection:
            leadership.resign(connection, NAME, self._holder)


class Led:
    """A service that rests while another scheduler leads."""

    def __init__(self, service: Service, leader: Leader) -> None:
        self.name = type(service).__name__
        self._service = service
        self._leader = leader

    def tick(self, now: float | None = None) -> float:
        """Tick the service if we lead, else look again soon."""
        return self._service.tick(now) if self._leader.leads() else _STANDBY_SECONDS
