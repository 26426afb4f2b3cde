"""The one thread that works: it looks for work whenever somebody rings, and now and then by itself,
so that an empty or absent broker costs seconds.
"""

from __future__ import annotations

import logging
import math
import random
import threading
from collections.abc import Callable

from millrace.clock import Clock
from millrace.types import JobId
from workers.chunk_runner import ChunkRunner

log = logging.getLogger(__name__)

_SOON_SECONDS = 0.05
_WARM_SECONDS = 0.4
"""How often to look at most, as long as there was work a moment ago: a bell may have gone to a
worker that was busy.
"""
_PAUSE_SECONDS = 0.01
_LONGEST_PAUSE_SECONDS = 1.0


class Lookout:
    """Carries out what is rung; whatever else is due only where nothing was rung for a while."""

    def __init__(
        self,
        runner: ChunkRunner,
        clock: Clock,
        interval: float,
        job_id: JobId | None,
        fit: Callable[[], bool] = lambda: True,
    ) -> None:
        self._runner = runner
        self._clock = clock
        self._interval = interval
        self._job_id = job_id
        self._fit = fit
        self._bell = threading.Event()
        self._stopped = threading.Event()
        self._help_at = clock.monotonic()
        self._in_vain = 0
        self._rung_in_vain = 0
        self._worked_at = -math.inf
        self._thread = threading.Thread(target=self._run, name="lookout", daemon=True)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def start(self) -> None:
        self._thread.start()

    def ring(self) -> None:
        """There may be work; from any thread. While it works this is remembered, once."""
        self._bell.set()

    def stop(self, seconds: float | None = None) -> bool:
        """Look no more; true when what it had found is carried out or released, within so long."""
        self._stopped.set()
        self._bell.set()
        self._thread.join(seconds)
        return not self.alive

    def _run(self) -> None:
        while not self._stopped.is_set():
            # rung from here on means: after we have looked
            self._bell.clear()
            if self._look():
                self._in_vain = self._rung_in_vain = 0
                self._worked_at = self._clock.monotonic()
            elif not self._stopped.is_set():
                self._wait()

    def _look(self) -> bool:
        try:
            return self._fit() and (self._take_rung() or self._help())
        except Exception:
            # a worker that no longer looks would idle for ever where there is no broker
            log.exception("looking for work failed")
            return False

    def _take_rung(self) -> bool:
        found = self._runner.run_rung(self._job_id)
        if found:
            self._help_at = self._clock.monotonic() + self._interval
        return found

    def _help(self) -> bool:
        """Take what the scheduler, if there is one, has not chosen in all this time."""
        if self._clock.monotonic() < self._help_at:
            return False
        found = self._runner.run_due(self._job_id)
        if not found:
            self._help_at = self._clock.monotonic() + self._interval * random.uniform(0.5, 1.0)
        return found

    def _wait(self) -> None:
        """Until somebody rings, or for a while that grows: more may be rung the next moment.

        Not at once where many have rung in vain, as who forges bells.
        """
        pause = min(_PAUSE_SECONDS * self._rung_in_vain, _LONGEST_PAUSE_SECONDS)
        self._clock.wait(self._stopped, pause)
        warm = self._clock.monotonic() - self._worked_at < self._interval
        longest = min(_WARM_SECONDS, self._interval) if warm else self._interval
        patience = min(_SOON_SECONDS * 2 ** min(self._in_vain, 16), longest)
        self._in_vain += 1
        if self._clock.wait(self._bell, patience):
            self._rung_in_vain += 1
        else:
            self._rung_in_vain = 0
