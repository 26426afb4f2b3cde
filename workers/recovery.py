"""A machine that is at fault itself, as with a full disk, leaves the work to others for a while."""

from __future__ import annotations

import logging

from millrace.clock import Clock
from millrace.errors import MillraceError
from millrace.telemetry import fields
from workers.order import Stopped

log = logging.getLogger(__name__)

LOCAL_FAULTS = frozenset({"STORAGE_FULL", "SPOOL_CORRUPT"})
_FIRST_SECONDS = 5.0
_LONGEST_SECONDS = 300.0


class Recovery:
    """Longer each time that the fault is still there; over with the first chunk that succeeds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = clock.monotonic()
        self._next = _FIRST_SECONDS

    @property
    def going_on(self) -> bool:
        return self._clock.monotonic() < self._until

    def begin(self, fault: Stopped | MillraceError) -> None:
        """This machine could not do it; say how to mend it."""
        log.error(
            "this machine takes no work %s",
            fields(seconds=self._next, code=fault.code, reason=fault.message, hint=fault.hint),
        )
        self._until = self._clock.monotonic() + self._next
        self._next = min(2 * self._next, _LONGEST_SECONDS)

    def end(self) -> None:
        """It works again."""
        self._next = _FIRST_SECONDS
