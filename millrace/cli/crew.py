"""Worker processes: started, watched, replaced when they die, and always ended."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import psutil

from millrace.db.session import Database
from millrace.errors import Unavailable
from millrace.lifecycle import chunks, workers
from millrace.settings import Settings
from millrace.telemetry import fields
from millrace.types import WorkerId

log = logging.getLogger(__name__)

_RECENT_SECONDS = 10.0
_STOP_SECONDS = 10.0


class Crew:
    """``with Crew(…) as crew:`` keeps `size` workers at work until the block ends.

    `arguments` are added to those of each process, `output` is the file that takes what they say;
    without one they write where we do.
    """

    def __init__(
        self,
        size: int,
        settings: Settings,
        database: Database,
        *,
        arguments: Sequence[str] = (),
        output: Path | None = None,
    ) -> None:
        self._size = size
        self._settings = settings
        self._database = database
        self._arguments = tuple(arguments)
        self.output = output
        # a process id would come again after a restart of the container
        self._name = f"{socket.gethostname()}-{secrets.token_hex(4)}"
        self._members: dict[WorkerId, subprocess.Popen[bytes]] = {}
        self._fallen: set[WorkerId] = set()
        self._started = 0
        self._deaths: list[float] = []

    def __enter__(self) -> Crew:
        if self.output is not None:
            self.output.parent.mkdir(parents=True, exist_ok=True)
        self.fill()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def recent_deaths(self) -> int:
        """How many workers have ended by themselves in the last ten seconds."""
        moment = time.monotonic()
        self._deaths = [at for at in self._deaths if moment - at < _RECENT_SECONDS]
        return len(self._deaths)

    def bury(self) -> list[int]:
        """Exit codes of workers that have ended since; their chunks are taken back at once.

        Where the database does not answer, they are taken back the next time.
        """
        ended = {w: p.returncode for w, p in self._members.items() if p.poll() is not None}
        for worker in ended:
            del self._members[worker]
            self._deaths.append(time.monotonic())
        self._fallen.update(ended)
        self._take_back()
        return list(ended.values())

    def fill(self) -> None:
        """Start workers until there are as many as there should be."""
        while len(self._members) < self._size:
            self._hire()

    def drain(self) -> None:
        """Ask every worker to finish what it holds and leave; asked again, to leave at once."""
        for process in self._members.values():
            process.terminate()

    def is_gone(self) -> bool:
        """Whether every worker has ended; takes back what those have held that did not end well."""
        self.bury()
        return not self._members

    def stop(self) -> None:
        """Ask every worker to release what it holds and leave; insist after ten seconds."""
        self.drain()
        until = time.monotonic() + _STOP_SECONDS
        for process in self._members.values():
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.bury()

    def dismiss(self) -> None:
        """End workers that hold nothing any more, and all that they have started, at once."""
        for process in self._members.values():
            for descendant in _descendants(process.pid):
                with contextlib.suppress(psutil.NoSuchProcess):
                    descendant.kill()
            process.kill()
        self.stop()

    def _take_back(self) -> None:
        while self._fallen:
            worker = next(iter(self._fallen))
            try:
                with self._database.write() as connection:
                    chunks.release_owned(connection, worker)
                    workers.leave(connection, worker)
            except Unavailable as error:
                log.warning("cannot take back chunks %s", fields(worker=worker, reason=error))
                return
            self._fallen.remove(worker)

    def _hire(self) -> None:
        self._started += 1
        worker = WorkerId(f"{self._name}-{self._started}")
        command = [sys.executable, "-P", "-m", "workers", "--id", worker, *self._arguments]
        with contextlib.ExitStack() as stack:
            output = stack.enter_context(self.output.open("ab")) if self.output else None
            self._members[worker] = subprocess.Popen(
                [*command, "--parent", str(os.getpid())],
                env=self._settings.environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )


def _descendants(pid: int) -> list[psutil.Process]:
    """What a worker has started, orphans that it has adopted among them."""
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []
