"""The end of a worker's time: nothing new is claimed, and what runs has a grace to end in."""

from __future__ import annotations

import math

from millrace.clock import Clock


class Drain:
    """Begun once, from whichever thread; beginning again can only shorten the grace."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until = math.inf

    def begin(self, grace: float) -> None:
        """Leave within `grace` seconds."""
        self._until = min(self._until, self._clock.monotonic() + grace)

    @property
    def begun(self) -> bool:
        return self._until < math.inf

    @property
    def over(self) -> bool:
        """Whether the grace has ended too."""
        return self._clock.monotonic() >= self._until
