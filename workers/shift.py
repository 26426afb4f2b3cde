"""The shift of one worker process: all that works in it, begun and ended together."""

from __future__ import annotations

from millrace.broker import Doorbell
from millrace.clock import SystemClock
from millrace.db.session import Database
from millrace.settings import Settings
from millrace.types import ChunkKind, JobId, WorkerId
from workers.child import ComputeChild
from workers.chunk_runner import ChunkRunner
from workers.lookout import Lookout
from workers.presence import Presence


class Shift:
    """Threads: one computes, one publishes, one is seen, one listens where there is a broker; ours
    watches.

    Jobs whose chunks are all done are published beside the computing, which may take long.
    """

    def __init__(
        self, settings: Settings, child: ComputeChild, worker: WorkerId, job_id: JobId | None
    ) -> None:
        clock = SystemClock()
        self._database = Database.connect(settings.database)
        self._computing = ChunkRunner(self._database, child, worker, settings, clock)
        self._publishing = ChunkRunner(
            self._database, child, worker, settings, clock, ChunkKind.FINALIZE
        )
        self._presence = Presence(self._database, worker, settings, child, self._computing, clock)
        self._lookouts = [
            Lookout(runner, clock, settings.poll_seconds, job_id, self._presence.fit)
            for runner in (self._computing, self._publishing)
        ]
        self._doorbell = Doorbell(settings.broker_url)
        self._hearing = None
        if settings.broker_url:
            # Celery takes a while to import, and without a broker nobody needs it
            from workers.ear import Ear
            from workers.watchdog import Watchdog

            ear = Ear(settings, worker, self._ring, clock)
            self._hearing = ear, Watchdog(self._doorbell, worker, ear, clock)

    def begin(self) -> None:
        """Sign on and look for work."""
        self._presence.start()
        for lookout in self._lookouts:
            lookout.start()
        if self._hearing is not None:
            self._hearing[0].start()

    def watch(self) -> bool:
        """Kill what runs without authority; false where this process should start anew."""
        self._computing.enforce()
        if not all(lookout.alive for lookout in self._lookouts):
            return False
        return self._hearing is None or not self._hearing[1].is_deaf()

    def drain(self, grace: float) -> None:
        """Claim nothing more, and come to an end within `grace` seconds."""
        for runner in (self._computing, self._publishing):
            runner.drain(grace)
        for lookout in self._lookouts:
            lookout.stop(0.0)

    @property
    def ended(self) -> bool:
        """Whether all that was claimed is carried out or released."""
        return not any(lookout.alive for lookout in self._lookouts)

    def close(self) -> None:
        """Sign off; waits for the database and the broker."""
        if self._hearing is not None:
            self._hearing[0].close()
        self._doorbell.close()
        self._presence.stop()
        self._database.close()

    def _ring(self) -> None:
        for lookout in self._lookouts:
            lookout.ring()
