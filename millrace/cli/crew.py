"""The worker processes of one run: started, watched, replaced when they die, and always ended."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

import psutil

from millrace.db.session import Database
from millrace.errors import Unavailable
from millrace.lifecycle import chunks
from millrace.lifecycle.queries import JobView
from millrace.settings import Settings
from millrace.types import WorkerId

_QUICK_DEATHS = 5
_QUICK_SECONDS = 10.0
_STOP_SECONDS = 10.0


class Crew:
    """``with Crew(…) as crew:`` keeps `size` workers at work on one job until the block ends."""

    def __init__(self, size: int, job: JobView, settings: Settings, database: Database) -> None:
        self._size = size
        self._job = job
        self._settings = settings
        self._database = database
        self._log = settings.state / "logs" / f"{job.id}.log"
        self._members: dict[WorkerId, subprocess.Popen[bytes]] = {}
        self._started = 0
        self._deaths: list[float] = []

    @property
    def log(self) -> Path:
        return self._log

    def __enter__(self) -> Crew:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(self._size):
            self._hire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def check(self) -> None:
        """Take the chunks of dead workers back at once and put others in their place.

        Raises `Unavailable` where workers die as fast as they are started.
        """
        for worker, process in list(self._members.items()):
            if process.poll() is None:
                continue
            del self._members[worker]
            with self._database.write() as connection:
                chunks.release_owned(connection, worker)
            self._count_death()
            self._hire()

    def stop(self) -> None:
        """Ask every worker to release what it holds and leave; insist after ten seconds."""
        for process in self._members.values():
            process.terminate()
        until = time.monotonic() + _STOP_SECONDS
        for process in self._members.values():
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._members.clear()

    def dismiss(self) -> None:
        """End workers that hold nothing any more, and all that they have started, at once."""
        for process in self._members.values():
            for descendant in _descendants(process.pid):
                with contextlib.suppress(psutil.NoSuchProcess):
                    descendant.kill()
            process.kill()
        self.stop()

    def _hire(self) -> None:
        self._started += 1
        worker = WorkerId(f"local-{os.getpid()}-{self._started}")
        command = [sys.executable, "-P", "-m", "workers", "--id", worker, "--job", self._job.id]
        command += ["--engine", self._job.spec.model.engine, "--parent", str(os.getpid())]
        with self._log.open("ab") as log:
            self._members[worker] = subprocess.Popen(
                command,
                env=_environment(self._settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _count_death(self) -> None:
        moment = time.monotonic()
        self._deaths = [at for at in self._deaths if moment - at < _QUICK_SECONDS] + [moment]
        if len(self._deaths) > _QUICK_DEATHS * self._size:
            raise Unavailable(
                "WORKERS_DIE",
                "worker processes end as soon as they are started",
                f"their log is {self._log}",
            )


def _descendants(pid: int) -> list[psutil.Process]:
    """What a worker has started, orphans that it has adopted among them."""
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _environment(settings: Settings) -> dict[str, str]:
    ours = {
        f"MILLRACE_{name.upper()}": str(value)
        for name, value in settings.model_dump().items()
        if value is not None
    }
    return {**os.environ, **ours}
