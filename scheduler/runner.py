"""One loop for all services: each is a `tick` that says when it wants the next one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import Protocol

from millrace.clock import Clock
from millrace.errors import Unavailable
from millrace.telemetry import fields

log = logging.getLogger(__name__)

_AFTER_FAILURE_SECONDS = 2.0


class Service(Protocol):
    def tick(self, now: float | None = None) -> float:
        """Do what is due; return the seconds until the next tick.

        The time is the database's; `now` stands in for it in tests.
        """
        ...


class Runner:
    """Owns the sleeping: calls every service when it is due, from one thread."""

    def __init__(self, services: Sequence[Service], clock: Clock) -> None:
        self._due = [(service, 0.0) for service in services]
        self._clock = clock

    def step(self) -> float:
        """Tick every service that is due; return the seconds until the next one is.

        A service that fails is tried again after a moment, and keeps no other from its tick.
        """
        moment = self._clock.monotonic()
        self._due = [
            (service, self._clock.monotonic() + _tick(service) if moment >= at else at)
            for service, at in self._due
        ]
        return max(0.0, min(at for _, at in self._due) - self._clock.monotonic())

    def run(self, stop: threading.Event) -> None:
        """Go on until `stop` is set; what ticks at that moment comes to its end."""
        delay = 0.0
        while not self._clock.wait(stop, delay):
            delay = self.step()


def _tick(service: Service) -> float:
    name = getattr(service, "name", type(service).__name__)
    try:
        return service.tick()
    except Unavailable as error:
        log.warning("tick failed %s", fields(service=name, reason=error))
    except Exception:
        log.exception("tick failed %s", fields(service=name))
    return _AFTER_FAILURE_SECONDS
