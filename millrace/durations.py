"""Durations as people write them: ``90s``, ``45m``, ``12h``, ``30d``."""

from __future__ import annotations

import re

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_FORM = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([smhd])", re.ASCII)
MOST_SECONDS = 3_650 * 86_400
"""Ten years; longer than that is a typing mistake."""


def seconds_in(text: str) -> float:
    """The seconds that a duration has; `ValueError` says what a duration looks like."""
    match = _FORM.fullmatch(text.strip())
    seconds = float(match[1]) * _SECONDS[match[2]] if match else 0.0
    if not 0 < seconds <= MOST_SECONDS:
        raise ValueError(f"{text[:40]!r} is not a duration such as 90s, 45m, 12h or 30d")
    return seconds
