"""The shift of one worker process: all that works in it, begun and ended together."""

from __future__ import annotations

from millrace.broker import Doorbell
from millrace.clock import SystemClock
from millrace.db.session import Database
from millrace.settings import Settings
from millrace.types import JobId, WorkerId
from workers.child import ComputeChild
from workers.chunk_runner import ChunkRunner
from workers.lookout import Lookout
from workers.presence import Presence


class Shift:
    """Threads: one works, one is seen, one listens where there is a broker; ours watches."""

    def __init__(
        self, settings: Settings, child: ComputeChild, worker: WorkerId, job_id: JobId | None
    ) -> None:
        clock = self._clock = SystemClock()
        self._database = Database.connect(settings.database)
        self._runner = ChunkRunner(self._database, child, worker, settings, clock)
        self._presence = Presence(self._database, worker, settings, child, self._runner, clock)
        self._lookout = Lookout(
            self._runner, clock, settings.poll_seconds, job_id, self._presence.fit
        )
        self._doorbell = Doorbell(settings.broker_url)
        self._hearing = None
        if settings.broker_url:
            # Celery takes a while to import, and without a broker nobody needs it
            from workers.ear import Ear
            from workers.watchdog import Watchdog

            ear = Ear(settings, worker, self._lookout.ring, clock)
            self._hearing = ear, Watchdog(self._doorbell, worker, ear, clock)

    def begin(self) -> None:
        """Sign on and look for work."""
        self._presence.start()
        self._lookout.start()
        if self._hearing is not None:
            self._hearing[0].start()

    def watch(self) -> bool:
        """Kill what runs without authority; false where this process should start anew."""
        self._runner.enforce()
        if self.ended:
            return False
        return self._hearing is None or not self._hearing[1].is_deaf()

    def drain(self, grace: float) -> None:
        """Claim nothing more, and come to an end within `grace` seconds."""
        self._runner.drain(grace)
        self._lookout.stop(0.0)

    @property
    def ended(self) -> bool:
        """Whether all that was claimed is carried out or released."""
        return not self._lookout.alive

    def close(self) -> None:
        """Sign off; waits for the database and the broker."""
        if self._hearing is not None:
            self._hearing[0].close()
        self._doorbell.close()
        self._presence.stop()
        self._database.close()
