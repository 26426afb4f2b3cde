"""Time that moves when the test says so, for the database and for every process."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from millrace.db.session import Database
from tests.simulation.actor import acting, pause

_EPOCH = 2_440_587.5
_LOOK_SECONDS = 0.0005


@dataclass
class Time:
    """Seconds since the epoch."""

    now: float = 1_000_000.0

    def rule(self, database: Database) -> None:
        """Have the database go by this time: its clock is SQLite's function ``julianday``."""

        def teach(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
            connection.create_function("julianday", 1, lambda _: _EPOCH + self.now / 86_400)

        event.listen(database._engine, "connect", teach)


class ProcessClock:
    """The clock of one process, whose wall clock is wrong by `skew` seconds.

    An actor that waits stands still, and then time has passed. A thread beside it, as a heartbeat
    is, waits until it is called by `beat`.
    """

    def __init__(self, time: Time, skew: float = 0.0) -> None:
        self._time = time
        self._skew = skew
        self._beside: threading.Thread | None = None
        self._called = False

    def now(self) -> float:
        return self._time.now + self._skew

    def monotonic(self) -> float:
        return self._time.now

    def wait(self, event: threading.Event, seconds: float) -> bool:
        if acting():
            pause("wait")
            self._time.now += seconds
            return event.is_set()
        self._called = False
        self._beside = threading.current_thread()
        while not event.wait(_LOOK_SECONDS):
            if self._called:
                return False
        return True

    def beat(self) -> None:
        """Let the thread beside go through its loop once, where there is one."""
        beside = self._beside
        if beside is None:
            return
        self._called = True
        while self._called and beside.is_alive():
            beside.join(_LOOK_SECONDS)
