"""An idle worker looks for work by itself, so that an empty or absent broker costs seconds."""

from __future__ import annotations

import logging
import threading

from millrace.clock import Clock
from millrace.types import JobId
from workers.chunk_runner import ChunkRunner

log = logging.getLogger(__name__)


class Lookout:
    """A thread that carries out whatever is due while nobody rings."""

    def __init__(
        self, runner: ChunkRunner, clock: Clock, interval: float, job_id: JobId | None
    ) -> None:
        self._runner = runner
        self._clock = clock
        self._interval = interval
        self._job_id = job_id
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lookout")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Look no more; returns when what it had found is carried out or released."""
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            if not self._look():
                self._clock.wait(self._stopped, self._interval)

    def _look(self) -> bool:
        try:
            return self._runner.run_due(self._job_id)
        except Exception:
            # a worker that no longer looks would idle for ever where there is no broker
            log.exception("looking for work failed")
            return False
