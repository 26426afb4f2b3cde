"""An idle worker looks for work by itself, so that an empty or absent broker costs seconds."""

from __future__ import annotations

import threading

from millrace.clock import Clock
from millrace.types import JobId
from workers.chunk_runner import ChunkRunner


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
            if not self._runner.run_due(self._job_id):
                self._clock.wait(self._stopped, self._interval)
