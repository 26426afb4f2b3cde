"""Finished chunks on their way into the database, committed in groups.

A commit is never assumed to have failed or succeeded. Where the database goes away in the middle,
the same commit again is the question what became of it, and the fence answers: a chunk that was
committed is leased to nobody any more. Meanwhile the batch goes on. Before the first try the
parts are settled; where that fails, they are given up, since a disk that has failed once may say
yes to the same bytes the next time without having them.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from millrace.clock import Clock
from millrace.db.session import Database
from millrace.errors import LeaseLost, MillraceError, Unavailable
from millrace.failpoints import failpoint
from millrace.lifecycle import chunks, retry
from millrace.telemetry import fields
from millrace.types import ChunkResult, Lease
from workers import ending
from workers.drain import Drain
from workers.heartbeat import Heartbeat

log = logging.getLogger(__name__)

Settle = Callable[[Sequence[ChunkResult]], None]
"""Makes the parts of these results durable."""

_GROUP_SECONDS = 0.2
_WAIT_SECONDS = 0.5


class Harvest:
    """Holds what is finished and not yet recorded; its leases are kept alive until then."""

    def __init__(
        self, database: Database, beat: Heartbeat, drain: Drain, clock: Clock, settle: Settle
    ) -> None:
        self._database = database
        self._settle = settle
        self._beat = beat
        self._drain = drain
        self._clock = clock
        self._ripe: list[tuple[Lease, ChunkResult]] = []
        self._settled = 0
        self._at = 0.0
        self._tries = 0
        self.lost: list[Lease] = []
        """What could not be committed, or had been before."""
        self.fault: MillraceError | None = None
        """Why parts could not be settled, if that was so."""
        self.has_settled = False
        """Whether any parts were settled."""

    def add(self, lease: Lease, result: ChunkResult) -> None:
        """The parts of this chunk are stored; settle and record them before long."""
        if not self._ripe:
            self._at = self._clock.monotonic() + _GROUP_SECONDS
        self._ripe.append((lease, result))

    def bring_in(self) -> None:
        """Commit if it is time to; where the database is away, another call tries again later."""
        if self._ripe and self._clock.monotonic() >= self._at and self._settle_new():
            self._commit()

    def bring_in_all(self) -> None:
        """Commit the rest, however long the database is away, but not beyond a drain's grace.

        A commit may come after the leases' deadline: what was computed in time stays good until
        somebody else has the chunk.
        """
        nobody = threading.Event()
        self._at = min(self._at, self._clock.monotonic())
        while self._ripe:
            self.bring_in()
            if self._ripe and self._drain.over:
                log.warning("left without commit %s", fields(chunks=len(self._ripe)))
                return
            if self._ripe:
                wait = max(0.0, self._at - self._clock.monotonic())
                self._clock.wait(nobody, min(wait, _WAIT_SECONDS))

    def _settle_new(self) -> bool:
        """False where nothing is left to commit."""
        new = self._ripe[self._settled :]
        try:
            if new:
                self._settle([result for _, result in new])
        except Exception as error:
            log.warning("parts given up %s", fields(chunks=len(new), reason=error))
            self.fault = fault = _fault(error)
            del self._ripe[self._settled :]
            self._give_up([lease for lease, _ in new], fault)
        else:
            self.has_settled = self.has_settled or bool(new)
        self._settled = len(self._ripe)
        return bool(self._ripe)

    def _give_up(self, leases: Sequence[Lease], error: MillraceError) -> None:
        self._beat.drop(leases)
        for lease in leases:
            try:
                ending.release(self._database, lease, infra=True, reason=error.message)
            except LeaseLost:
                self.lost.append(lease)
            except Unavailable as away:
                told = fields(job=lease.job_id, chunk=lease.idx, reason=away)
                log.warning("lease left to run out %s", told)

    def _commit(self) -> None:
        leases = [lease for lease, _ in self._ripe]
        # a renewal of the same rows at the same time could end in a deadlock
        self._beat.drop(leases)
        try:
            failpoint("w.before_commit")
            self.lost += self._database.transact(self._write)
            failpoint("w.after_commit")
        except Unavailable as error:
            self._beat.keep(lease for lease, _ in self._ripe)
            self._tries += 1
            self._at = self._clock.monotonic() + retry.backoff(self._tries, random.random())
            log.warning("commit unknown %s", fields(chunks=len(leases), reason=error))
        else:
            self._ripe.clear()
            self._settled = self._tries = 0

    def _write(self, connection: Connection) -> list[Lease]:
        lost = chunks.commit_many(connection, self._ripe)
        failpoint("w.in_commit")
        for lease in lost:
            log.info(
                "lease lost, or committed before %s", fields(job=lease.job_id, chunk=lease.idx)
            )
        return lost


def _fault(error: Exception) -> MillraceError:
    if isinstance(error, MillraceError):
        return error
    return Unavailable("STORAGE_ERROR", f"parts cannot be settled: {error!r}")
