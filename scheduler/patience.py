"""What has failed is left alone for a while, so that it keeps nobody else waiting."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from millrace.errors import MillraceError, Unavailable
from millrace.telemetry import fields

log = logging.getLogger(__name__)


class Patience:
    """Each failure in a row of the same thing doubles the wait before it is tried again."""

    def __init__(
        self,
        *,
        least: float = 2.0,
        most: float = 120.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._least = least
        self._most = most
        self._clock = clock
        self._failures: dict[str, int] = {}
        self._until: dict[str, float] = {}

    def is_due(self, name: str) -> bool:
        """Whether it may be tried (again)."""
        return self._clock() >= self._until.get(name, 0.0)

    def failed(self, name: str) -> int:
        """Wait with it, and return how often in a row it has failed by now."""
        count = self._failures[name] = self._failures.get(name, 0) + 1
        wait = min(self._most, self._least * 2.0 ** (count - 1))
        self._until[name] = self._clock() + wait
        return count

    def passed(self, name: str) -> None:
        """Forget its failures."""
        self._failures.pop(name, None)
        self._until.pop(name, None)

    def attempt(self, name: str, act: Callable[[], object]) -> None:
        """Do it where it is due; whatever it raises is logged and delays nothing else.

        Only `Unavailable` is passed on, as it concerns everybody.
        """
        if not self.is_due(name):
            return
        try:
            act()
        except Unavailable:
            raise
        except MillraceError as error:
            log.info("not now %s", fields(of=name, code=error.code, reason=error))
            self.failed(name)
        except Exception:
            log.exception("failed, and is left alone for a while %s", fields(of=name))
            self.failed(name)
        else:
            self.passed(name)
