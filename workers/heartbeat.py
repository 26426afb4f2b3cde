"""Keeps the leases of a batch alive from a thread of its own, and knows when authority is gone.

The trust window is local: however long the database cannot be asked, this process stops believing
in its leases a margin before they can expire there, measured on the monotonic clock from the start
of the last renewal that succeeded.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from types import TracebackType

from millrace.clock import Clock
from millrace.db.session import Database
from millrace.errors import LeaseLost, Unavailable
from millrace.failpoints import failpoint
from millrace.lifecycle import chunks
from millrace.telemetry import fields
from millrace.types import Lease
from workers.order import Progress

log = logging.getLogger(__name__)

_NOTHING = Progress(rows=0)


class Heartbeat:
    """``with Heartbeat(…) as beat:`` renews until the block ends; `beat.lost` says when to stop.

    Of the leases that it keeps, one may be the running one, whose progress is told.
    """

    def __init__(
        self, database: Database, leases: Iterable[Lease], ttl: float, interval: float, clock: Clock
    ) -> None:
        self._database = database
        self._ttl = ttl
        self._interval = min(interval, ttl / 6)
        self._clock = clock
        self._lock = threading.Lock()
        self._kept = {lease.idx: lease for lease in leases}
        self._lost: set[int] = set()
        self._running: Lease | None = None
        self._renewed = clock.monotonic()
        self._moved = self._renewed
        self._progress = _NOTHING
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._broken = False

    @property
    def lost(self) -> bool:
        """Whether to stop: the running lease was taken away, or none can be trusted any longer.

        True at the deadline even while a renewal hangs in the network.
        """
        # a lease that is renewed after all stays distrusted: the child may be dead by then
        self._broken = self._broken or self._clock.monotonic() >= self._deadline()
        running = self._running
        return self._broken or (running is not None and running.idx in self._lost)

    def is_lost(self, lease: Lease) -> bool:
        """Whether this one lease was taken away."""
        return lease.idx in self._lost

    def turn_to(self, lease: Lease) -> None:
        """This lease is the running one from now on.

        One that was lost while it waited is no reason to stop: the child has its order already, and
        what it answers will not be committed.
        """
        with self._lock:
            self._running = None if self.is_lost(lease) else lease
            self._progress = _NOTHING
            self._moved = self._clock.monotonic()

    def keep(self, leases: Iterable[Lease]) -> None:
        """Renew these too."""
        with self._lock:
            self._kept |= {lease.idx: lease for lease in leases}

    def drop(self, leases: Iterable[Lease]) -> None:
        """Renew these no more: they have ended, or are just about to."""
        with self._lock:
            for lease in leases:
                self._kept.pop(lease.idx, None)
                if self._running is lease:
                    self._running = None

    def report(self, progress: Progress) -> None:
        """Take note of what the child does now; written with the next renewal."""
        self._progress = progress
        self._moved = self._clock.monotonic()

    def idle_seconds(self) -> float:
        """How long nothing has moved."""
        return self._clock.monotonic() - self._moved

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._clock.wait(self._done, self._interval):
            try:
                self._renew()
            except Unavailable as error:
                log.warning("heartbeat failed %s", fields(reason=error, gave_up=self.lost))
            except Exception:
                log.exception("heartbeat broke")
                self._broken = True
                return

    def _renew(self) -> None:
        started = self._clock.monotonic()
        failpoint("w.hb")
        with self._lock:
            running, progress = self._running, self._progress
            waiting = [lease for lease in self._kept.values() if lease is not running]
        with self._database.write(durable=False) as connection:
            gone = []
            if running is not None:
                try:
                    chunks.renew(
                        connection,
                        running,
                        ttl=self._ttl,
                        progress_rows=progress.rows,
                        suspects=progress.in_flight,
                    )
                except LeaseLost:
                    gone.append(running)
            held = chunks.renew_many(connection, waiting, self._ttl) if waiting else []
        tokens = {lease.idx for lease in held}
        gone += [lease for lease in waiting if lease.idx not in tokens]
        self._lost.update(lease.idx for lease in gone)
        self._renewed = started

    def _deadline(self) -> float:
        return self._renewed + self._ttl - min(10.0, self._ttl / 3)
