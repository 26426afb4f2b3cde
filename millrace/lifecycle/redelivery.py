"""When a notice is tried again, and when a webhook that does not answer is left alone. Pure."""

from __future__ import annotations

LONGEST_SECONDS = 72 * 3600.0
"""No try begins later after the notice was put up."""

WAITS = (5.0, 300.0, 1_800.0, 7_200.0, 28_800.0, 86_400.0)
"""Between one try and the next; the last one again and again."""

BREAKS_AFTER = 10
_FIRST_REST = 300.0
_LONGEST_REST = 3_600.0


def wait_after(tries: int, age: float) -> float | None:
    """Seconds from the failure of try number `tries` to the next one; None to give up.

    `age` is how long ago the notice was put up.
    """
    wait = WAITS[min(tries, len(WAITS)) - 1]
    return wait if age + wait <= LONGEST_SECONDS else None


def rest_after(failures: int) -> float | None:
    """Seconds that a webhook is left alone after so many failures in a row; None for not at all."""
    if failures < BREAKS_AFTER:
        return None
    return float(min(_LONGEST_REST, _FIRST_REST * 2 ** min(failures - BREAKS_AFTER, 10)))
