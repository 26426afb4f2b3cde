"""How fast something goes, lately."""

from __future__ import annotations


class Pace:
    """An average over time in which what is `half_life` seconds old counts half.

    It begins with one second of nothing, so that a moment after the start no wild figure comes out.
    """

    def __init__(self, half_life: float) -> None:
        self._half_life = half_life
        self._done = 0.0
        self._seconds = 1.0

    def note(self, done: float, seconds: float) -> None:
        """So much was done in the last so many seconds."""
        fade = 0.5 ** (seconds / self._half_life)
        self._done = self._done * fade + done
        self._seconds = self._seconds * fade + seconds

    @property
    def per_second(self) -> float:
        """0 while nothing has been done."""
        return self._done / self._seconds
