"""One loop for all services: each is a `tick` that says when it wants the next one."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from millrace.clock import Clock
from millrace.errors import Unavailable
from millrace.telemetry import fields

log = logging.getLogger(__name__)

_AFTER_FAILURE_SECONDS = 2.0


class Service(Protocol):
    def tick(self, now: float | None = None) -> float:
        """Do what is due; return the seconds until the next tick.

        0 says that something has moved on: then everybody ticks at once.
        The time is the database's; `now` stands in for it in tests.
        """
        ...


@dataclass(slots=True)
class _Turn:
    service: Service
    at: float = 0.0
    failed: bool = False


class Runner:
    """Owns the sleeping: calls every service when it is due, from one thread."""

    def __init__(self, services: Sequence[Service], clock: Clock) -> None:
        self._turns = [_Turn(service) for service in services]
        self._clock = clock

    def step(self) -> float:
        """Tick every service that is due; return the seconds until the next one is.

        A service that fails is tried again after a moment, and keeps no other from its tick.
        """
        moment = self._clock.monotonic()
        if 0.0 in [self._tick(turn) for turn in self._turns if moment >= turn.at]:
            for turn in self._turns:
                turn.at = turn.at if turn.failed else moment
        return max(0.0, min(turn.at for turn in self._turns) - self._clock.monotonic())

    def run(self, stop: threading.Event) -> None:
        """Go on until `stop` is set; what ticks at that moment comes to its end."""
        delay = 0.0
        while not self._clock.wait(stop, delay):
            delay = self.step()

    def _tick(self, turn: _Turn) -> float | None:
        delay = _tick(turn.service)
        turn.failed = delay is None
        turn.at = self._clock.monotonic() + (_AFTER_FAILURE_SECONDS if delay is None else delay)
        return delay


def _tick(service: Service) -> float | None:
    """The delay that it asks for; None where it failed."""
    name = getattr(service, "name", type(service).__name__)
    try:
        return service.tick()
    except Unavailable as error:
        log.warning("tick failed %s", fields(service=name, reason=error))
    except Exception:
        log.exception("tick failed %s", fields(service=name))
    return None
