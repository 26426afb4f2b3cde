"""Delivers what stands in the outbox to webhooks, signed as Standard Webhooks are."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version

from sqlalchemy import Connection
from standardwebhooks.webhooks import Webhook

from millrace.db.session import Database
from millrace.errors import Unavailable
from millrace.failpoints import failpoint
from millrace.lifecycle import deliveries, outbox
from millrace.lifecycle.deliveries import Try
from millrace.outbound.client import NoAnswer, Outbound
from millrace.telemetry import fields

log = logging.getLogger(__name__)

THREADS = 8
PER_WEBHOOK = 2
"""So many tries at once go to one webhook: who hangs keeps threads from nobody else."""
CLAIM_SECONDS = 120.0
"""After so long a try of a scheduler that died is made again by another one."""

_SOON_SECONDS = 0.05
_SWEEP_SECONDS = 3_600.0


class Postman:
    """Has notices tried beside the tick, which never waits for any of them."""

    def __init__(
        self, database: Database, outbound: Outbound, *, interval: float, threads: int = THREADS
    ) -> None:
        self._database = database
        self._outbound = outbound
        self._interval = interval
        self._threads = threads
        self._under_way: dict[threading.Thread, str] = {}
        self._ticks_to_sweep = 0

    def tick(self, now: float | None = None) -> float:
        """Begin the tries that are due, as many as there are threads for."""
        self._clear()
        self._sweep(now)
        free = self._threads - len(self._under_way)
        busy = Counter(self._under_way.values())
        for webhook_id, is_probe in self._due(now) if free else ():
            room = min(free, (1 if is_probe else PER_WEBHOOK) - busy[webhook_id])
            for attempt in self._claimed(webhook_id, room, now):
                self._begin(attempt, now)
                free -= 1
        return min(_SOON_SECONDS, self._interval) if self._under_way else self._interval

    @property
    def is_busy(self) -> bool:
        """Whether a try is on its way."""
        self._clear()
        return bool(self._under_way)

    def deliver(self, attempt: Try, now: float | None = None) -> None:
        """Make one try and record what came of it."""
        try:
            status = self._outbound.post(attempt.url, headers(attempt), attempt.payload.encode())
        except NoAnswer as error:
            record = partial(deliveries.failed, attempt=attempt, fault=error.fault.value, now=now)
            self._record(attempt, record)
            return
        failpoint("r.delivered")
        if 200 <= status < 300:
            self._record(
                attempt, partial(deliveries.delivered, attempt=attempt, status=status, now=now)
            )
        else:
            refused = partial(
                deliveries.failed, attempt=attempt, fault="status", status=status, now=now
            )
            self._record(attempt, refused)

    def _clear(self) -> None:
        self._under_way = {each: name for each, name in self._under_way.items() if each.is_alive()}

    def _due(self, now: float | None) -> list[tuple[str, bool]]:
        with self._database.read() as connection:
            return deliveries.due(connection, now=now)

    def _claimed(self, webhook_id: str, room: int, now: float | None) -> list[Try]:
        if room < 1:
            return []
        claim = partial(
            deliveries.claim, webhook_id=webhook_id, limit=room, seconds=CLAIM_SECONDS, now=now
        )
        return self._database.transact(claim)

    def _begin(self, attempt: Try, now: float | None) -> None:
        # A daemon: a scheduler that ends does not wait, the claim of its try lapses by itself.
        thread = threading.Thread(
            target=self._try, args=(attempt, now), name="postman", daemon=True
        )
        self._under_way[thread] = attempt.webhook_id
        thread.start()

    def _try(self, attempt: Try, now: float | None) -> None:
        try:
            self.deliver(attempt, now)
        except Exception:
            log.exception("cannot deliver %s", fields(notice=attempt.id))

    def _record(self, attempt: Try, outcome: Callable[[Connection], bool]) -> None:
        try:
            self._database.transact(outcome)
        except Unavailable as error:
            log.warning("cannot record a try %s", fields(notice=attempt.id, reason=error))

    def _sweep(self, now: float | None) -> None:
        if self._ticks_to_sweep > 0:
            self._ticks_to_sweep -= 1
            return
        self._database.transact(partial(outbox.sweep, now=now))
        self._ticks_to_sweep = int(_SWEEP_SECONDS / self._interval)


def headers(attempt: Try) -> dict[str, str]:
    """What goes with a try: its id, the same every time, and a signature by each secret."""
    moment = datetime.fromtimestamp(int(attempt.moment), UTC)
    signatures = (
        Webhook(secret).sign(attempt.id, moment, attempt.payload) for secret in attempt.secrets
    )
    return {
        "Content-Type": "application/json",
        "User-Agent": f"Millrace/{version('millrace')}",
        "webhook-id": attempt.id,
        "webhook-timestamp": str(int(attempt.moment)),
        "webhook-signature": " ".join(signatures),
    }
