"""Keeps one lease alive from a thread of its own, and knows when authority is gone.

The trust window is local: however long the database cannot be asked, this process stops believing
in its lease a margin before the lease can expire there, measured on the monotonic clock from the
start of the last renewal that succeeded.
"""

from __future__ import annotations

import logging
import threading
from types import TracebackType

from millrace.clock import Clock
from millrace.db.session import Database
from millrace.errors import LeaseLost, Unavailable
from millrace.lifecycle import chunks
from millrace.telemetry import fields
from millrace.types import Lease
from workers.order import Progress

log = logging.getLogger(__name__)


class Heartbeat:
    """``with Heartbeat(…) as beat:`` renews until the block ends; `beat.lost` says when to stop."""

    def __init__(
        self, database: Database, lease: Lease, ttl: float, interval: float, clock: Clock
    ) -> None:
        self._database = database
        self._lease = lease
        self._ttl = ttl
        self._interval = min(interval, ttl / 6)
        self._clock = clock
        self._renewed = clock.monotonic()
        self._progress = Progress(rows=0)
        self._moved = self._renewed
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._gone = False

    @property
    def lost(self) -> bool:
        """Whether to stop: the lease was taken away, or can no longer be trusted.

        True at the deadline even while a renewal hangs in the network.
        """
        return self._gone or self._clock.monotonic() >= self._deadline()

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
            except LeaseLost:
                self._gone = True
            except Unavailable as error:
                self._gone = self.lost
                log.warning("heartbeat failed %s", fields(reason=error, gave_up=self._gone))
            except Exception:
                log.exception("heartbeat broke")
                self._gone = True
            if self._gone:
                return

    def _renew(self) -> None:
        started = self._clock.monotonic()
        progress = self._progress
        with self._database.write(durable=False) as connection:
            chunks.renew(
                connection,
                self._lease,
                ttl=self._ttl,
                progress_rows=progress.rows,
                suspects=progress.in_flight,
            )
        self._renewed = started

    def _deadline(self) -> float:
        return self._renewed + self._ttl - min(10.0, self._ttl / 3)
