"""Finds out that a worker has become deaf while the broker answers others.

It rings its own bell now and then. A broker that cannot be reached is no reason to end: the
database is looked at all the same. Not to hear what a working broker was told is one, since a
process that starts anew hears again.
"""

from __future__ import annotations

from millrace.broker import Doorbell
from millrace.clock import Clock
from millrace.errors import Unavailable
from millrace.types import WorkerId
from workers.ear import Ear

_RING_SECONDS = 60.0
_DEAF_SECONDS = 300.0


class Watchdog:
    """Asked every second or so whether this process still hears."""

    def __init__(self, doorbell: Doorbell, worker: WorkerId, ear: Ear, clock: Clock) -> None:
        self._doorbell = doorbell
        self._worker = worker
        self._ear = ear
        self._clock = clock
        self._ring_at = clock.monotonic() + _RING_SECONDS
        self._answering_since: float | None = None

    def is_deaf(self) -> bool:
        """Whether nothing was heard for five minutes in which the broker took our bells."""
        moment = self._clock.monotonic()
        if moment >= self._ring_at:
            self._ring_at = moment + _RING_SECONDS
            self._ring(moment)
        answering = 0.0 if self._answering_since is None else moment - self._answering_since
        return min(answering, self._ear.silent_seconds) >= _DEAF_SECONDS

    def _ring(self, moment: float) -> None:
        try:
            self._doorbell.ring([("", 0)], worker=self._worker)
        except Unavailable:
            self._answering_since = None
        else:
            self._answering_since = self._answering_since or moment
