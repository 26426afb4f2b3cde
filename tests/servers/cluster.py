"""Schedulers and workers as processes of their own, over any database, broker and storage."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from millrace import lifeline
from millrace.db.session import Database
from millrace.errors import Unavailable
from millrace.lifecycle import chunks, events, jobs, queries
from millrace.lifecycle.events import Event
from millrace.lifecycle.queries import JobView
from millrace.lifecycle.transitions import JOB_TERMINAL
from millrace.spec import JobSpec
from millrace.types import JobId, WorkerId
from tests.waiting import until

QUICK: Mapping[str, object] = {
    "lease_seconds": 3.0,
    "heartbeat_seconds": 0.4,
    "poll_seconds": 0.5,
    "re_ring_seconds": 2.0,
    "grace_seconds": 2.0,
    "leader_seconds": 1.5,
    "device": "cpu",
}
"""Settings with which what takes minutes in earnest takes seconds."""


class Member:
    """One service: started, killed, stopped, started again."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], log: Path):
        self.name = name
        self.process: psutil.Popen | None = None
        self.starts = 0
        self._command = command
        self._environment = environment
        self._log = log

    def start(self, failpoints: str = "") -> None:
        """Start it, `failpoints` armed in this one process."""
        self.starts += 1
        command = [part.replace("{start}", str(self.starts)) for part in self._command]
        environment = self._environment | (
            {"MILLRACE_FAILPOINTS": failpoints} if failpoints else {}
        )
        with self._log.open("ab") as log:
            self.process = psutil.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lifeline.die_with_caller,
            )

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def children(self) -> list[psutil.Process]:
        """The compute processes of a worker."""
        try:
            assert self.process is not None, "it was not started"
            family = self.process.children(recursive=True)
            return [each for each in family if any("spawn_main" in a for a in each.cmdline())]
        except psutil.NoSuchProcess:
            return []

    def send(self, number: signal.Signals) -> bool:
        """Send it a signal; false where it has ended."""
        if not self.running():
            return False
        assert self.process is not None
        self.process.send_signal(number)
        return True

    def kill_child(self) -> bool:
        """Kill -9 its compute process alone; false where there is none."""
        victims = self.children()
        for victim in victims:
            try:
                victim.kill()
            except psutil.NoSuchProcess:
                return False
        return bool(victims)

    def end(self) -> None:
        """Kill it and its compute processes, even where they are stopped."""
        if self.process is not None:
            for process in (*self.children(), self.process):
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
            self.process.wait(10)


class Cluster:
    """``with Cluster(…) as cluster:`` runs until the block ends. `settings` go over `QUICK`.

    A worker that died is `supervised` where somebody notices, as ``millrace worker`` does, and else
    is found out by the reaper.
    """

    def __init__(
        self,
        folder: Path,
        database_url: str,
        broker_url: str = "",
        *,
        schedulers: int = 1,
        workers: int = 2,
        supervised: bool = False,
        environment: Mapping[str, str] | None = None,
        **settings: object,
    ) -> None:
        self.folder = folder
        self._supervised = supervised
        self.database = Database.connect(database_url)
        state = folder / "state"
        state.mkdir(parents=True, exist_ok=True)
        asked = {**QUICK, "state": state, "database_url": database_url, **settings}
        asked["broker_url"] = broker_url
        self.ttl = float(str(asked["lease_seconds"]))
        ours = {f"MILLRACE_{name.upper()}": str(value) for name, value in asked.items()}
        self._environment = {**os.environ, **ours, **(environment or {})}
        self.schedulers = [self._scheduler(number) for number in range(schedulers)]
        self.workers = [self._worker(number) for number in range(workers)]

    @property
    def members(self) -> list[Member]:
        return [*self.schedulers, *self.workers]

    def __enter__(self) -> Cluster:
        try:
            for member in self.members:
                if not member.running():
                    member.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        for member in self.members:
            member.end()
        self.database.close()

    def tend(self) -> None:
        """Start again whatever has ended; where `supervised`, say whose leases are nobody's now."""
        for member in self.members:
            if not member.running():
                if self._supervised and member in self.workers:
                    self._disown(WorkerId(f"{member.name}-{member.starts}"))
                member.start()

    def _disown(self, worker: WorkerId) -> None:
        with suppress(Unavailable):
            self.database.transact(partial(chunks.release_owned, worker=worker))

    def submit(self, spec: JobSpec, **options: Any) -> JobId:
        with self.database.write() as connection:
            return jobs.submit(connection, spec, **options)

    def job(self, job_id: JobId) -> JobView | None:
        """The job as it stands; None while the database does not answer."""
        try:
            with self.database.read() as connection:
                return queries.known_job(connection, job_id)
        except Unavailable:
            return None

    def wait(self, job_id: JobId, seconds: float = 60.0) -> JobView:
        """The job once it has ended, whoever has to be started again for it."""
        ended: list[JobView] = []

        def over() -> bool:
            self.tend()
            job = self.job(job_id)
            if job is not None and job.state in JOB_TERMINAL:
                ended.append(job)
            return bool(ended)

        until(over, f"job {job_id} ends", seconds, every=0.05)
        return ended[0]

    def history(self, job_id: JobId) -> list[Event]:
        """All events of the job; none while the database does not answer."""
        found: list[Event] = []
        try:
            with self.database.read() as connection:
                while page := events.page(connection, job_id, after=found[-1].id if found else 0):
                    found += page
        except Unavailable:
            return []
        return found

    def count(self, job_id: JobId, verb: str) -> int:
        return sum(event.verb == verb for event in self.history(job_id))

    def spare_scheduler(self) -> Member:
        """One more, which nobody tends; whoever starts it ends it."""
        return self._scheduler(len(self.schedulers))

    def _scheduler(self, number: int) -> Member:
        return self._member(f"scheduler-{number}", "millrace", "scheduler")

    def _worker(self, number: int) -> Member:
        name = f"worker-{number}"
        return self._member(name, "workers", "--id", f"{name}-{{start}}")

    def _member(self, name: str, *arguments: str) -> Member:
        command = [sys.executable, "-P", "-m", *arguments]
        return Member(name, command, self._environment, self.folder / f"{name}.log")
