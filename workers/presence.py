"""A worker's place in the roster: it comes, says every few seconds that it lives, and goes."""

from __future__ import annotations

import logging
import os
import socket
import threading
from importlib.metadata import version

from millrace.clock import Clock
from millrace.db import migrations
from millrace.db.session import Database
from millrace.errors import Unavailable
from millrace.lifecycle import workers as roster
from millrace.settings import Settings
from millrace.telemetry import fields
from millrace.types import WorkerId
from workers.child import ComputeChild
from workers.chunk_runner import ChunkRunner

log = logging.getLogger(__name__)

_GOODBYE_SECONDS = 2.0


class Presence:
    """A thread of its own, so that the worker is seen while a chunk takes its time."""

    def __init__(
        self,
        database: Database,
        worker: WorkerId,
        settings: Settings,
        child: ComputeChild,
        runner: ChunkRunner,
        clock: Clock,
    ) -> None:
        self._database = database
        self._worker = worker
        self._settings = settings
        self._child = child
        self._runner = runner
        self._clock = clock
        self._registered = False
        self._current: bool | None = None
        self._gone = threading.Event()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def fit(self) -> bool:
        """Whether this version may claim: the roster knows it, and the tables are those that it
        was written for.
        """
        return self._registered and self._current is True

    def start(self) -> None:
        """Register, here and now if the database answers."""
        self.tick()
        self._thread.start()

    def stop(self) -> None:
        """Sign off; where the database is away, somebody will notice."""
        self._gone.set()
        self._thread.join(_GOODBYE_SECONDS)
        try:
            with self._database.write(durable=False) as connection:
                roster.leave(connection, self._worker)
        except Unavailable as error:
            log.warning("left without goodbye %s", fields(reason=error))

    def tick(self) -> None:
        """Say that we live, once the tables are ours."""
        try:
            self._check_tables()
            if self._current:
                self._sign()
        except Unavailable as error:
            log.warning("not seen %s", fields(reason=error))

    def _run(self) -> None:
        while not self._clock.wait(self._gone, self._settings.seen_seconds):
            try:
                self.tick()
            except Exception:
                log.exception("the roster cannot be told")

    def _check_tables(self) -> None:
        current = migrations.is_current(self._database)
        if not current and self._current is not False:
            log.error(
                "this version claims nothing: the database has tables of another one %s",
                fields(wants=migrations.HEAD, hint="run: millrace db upgrade, or upgrade this one"),
            )
        self._current = current

    def _sign(self) -> None:
        model = self._child.model
        held = [] if model is None else [model]
        resting = self._runner.idle_by_choice
        with self._database.write(durable=False) as connection:
            # unknown at first, and again where the database was restored from a backup
            if not roster.seen(connection, self._worker, held, draining=resting):
                roster.register(
                    connection,
                    self._worker,
                    socket.gethostname(),
                    os.getpid(),
                    pool=self._settings.pool,
                    device=self._settings.device,
                    version=version("millrace"),
                )
        self._registered = True
