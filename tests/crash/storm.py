"""A job in a storm: random deaths, outages and errors by seed, and what is left afterwards."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from millrace.errors import Unavailable
from millrace.lifecycle import queries
from millrace.lifecycle.transitions import JOB_TERMINAL
from millrace.types import ChunkState, JobId, JobState
from tests.postgres import Postmaster
from tests.servers.broker import Rabbit, Valkey
from tests.servers.cluster import Cluster, Member
from tests.servers.oracle import Findings, findings
from tests.servers.s3_faults import S3Faults
from tests.waiting import until

_STEP_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Weather:
    """How much of what comes over one job."""

    kills: int
    forgets: int = 0
    """How often the broker loses everything, by FLUSHALL or by its death."""
    crashes: int = 0
    """How often the database goes down and comes back."""
    freezes: int = 0
    """How often a worker or a scheduler is stopped for longer than its lease."""


@dataclass(frozen=True, slots=True)
class Outcome:
    state: JobState
    findings: Findings
    blows: Counter[str]
    seconds: float
    storage_faults: float
    """The share of the operations on S3 that went wrong."""


class Storm:
    """Blows at one job of a cluster; what comes when is decided by the seed alone."""

    def __init__(
        self,
        cluster: Cluster,
        job_id: JobId,
        rows: int,
        *,
        broker: Valkey | Rabbit | None = None,
        postmaster: Postmaster | None = None,
        faults: S3Faults | None = None,
        seed: int,
    ) -> None:
        self._cluster = cluster
        self._job_id = job_id
        self._rows = rows
        self._broker = broker
        self._postmaster = postmaster
        self._faults = faults
        self._dice = random.Random(seed)
        self._blows: Counter[str] = Counter()

    def rage(self, weather: Weather, seconds: float) -> Outcome:
        """Have the job carried out in this weather, within so many seconds."""
        began = time.monotonic()
        for share, blow in self._plan(weather):
            self._until_done(share, seconds)
            self._blows[blow()] += 1
        bad = self._heal(seconds)
        job = self._cluster.wait(self._job_id, seconds)
        took = time.monotonic() - began
        found = findings(job, self._cluster.history(self._job_id), range(self._rows))
        return Outcome(job.state, found, self._blows, took, bad)

    def _heal(self, seconds: float) -> float:
        """Let S3 be as it should be once the job has ended; how often it was not."""
        if self._faults is None:
            return 0.0
        until(self._is_over_tended, "the job ends", seconds, every=_STEP_SECONDS)
        self._faults.heal()
        asked = [*self._faults.operations]
        return sum(each.fault is not None for each in asked) / max(1, len(asked))

    def _is_over_tended(self) -> bool:
        self._cluster.tend()
        return self._is_over()

    def _plan(self, weather: Weather) -> Iterator[tuple[float, Callable[[], str]]]:
        """Blows, each with the share of the job after which it comes."""
        blows = [self._kill] * weather.kills + [self._freeze] * weather.freezes
        blows += [self._forget] * weather.forgets + [self._crash] * weather.crashes
        self._dice.shuffle(blows)
        return ((0.9 * number / len(blows), blow) for number, blow in enumerate(blows))

    def _kill(self) -> str:
        kind = self._dice.choice(["worker", "worker", "compute", "compute", "scheduler"])
        if kind == "compute":
            worker = self._dice.choice(self._cluster.workers)
            until(lambda: self._orphaned(worker), "there is one to kill", 60)
        else:
            members = self._cluster.workers if kind == "worker" else self._cluster.schedulers
            victim = self._dice.choice(members)
            until(lambda: self._struck(victim), "there is one to kill", 30)
        return kind

    def _orphaned(self, worker: Member) -> bool:
        """A worker that idles has no need of a compute process, as where the job is over."""
        self._cluster.tend()
        return worker.kill_child() or self._done() >= 1.0

    def _struck(self, victim: Member) -> bool:
        self._cluster.tend()
        return victim.send(signal.SIGKILL)

    def _freeze(self) -> str:
        victim = self._dice.choice(self._cluster.members)
        victim.send(signal.SIGSTOP)
        with _thawed(victim.send):
            over = time.monotonic() + 2 * self._cluster.ttl
            until(lambda: self._is_over() or time.monotonic() > over, "it sleeps", 60, every=0.1)
        return "freeze"

    def _forget(self) -> str:
        match self._broker:
            case None:
                return "nothing"
            case Valkey() as valkey if self._dice.random() < 0.5:
                valkey.command("FLUSHALL")
                return "flush"
            case broker:
                broker.kill()
                broker.start()
                return "broker"

    def _crash(self) -> str:
        assert self._postmaster is not None
        self._postmaster.crash()
        self._postmaster.start()
        return "database"

    def _until_done(self, share: float, seconds: float) -> None:
        until(lambda: self._done() >= share, f"{share:.0%} done", seconds, every=_STEP_SECONDS)

    def _done(self) -> float:
        """The share of the input that is committed; 1 as soon as the job is published."""
        self._cluster.tend()
        if self._is_over():
            return 1.0
        try:
            with self._cluster.database.read() as connection:
                progress = queries.progress(connection, self._job_id)
        except Unavailable:
            return 0.0
        if not progress.chunks[ChunkState.PENDING] + progress.chunks[ChunkState.LEASED]:
            return float(bool(progress.weight_total))
        return progress.weight_done / progress.weight_total

    def _is_over(self) -> bool:
        job = self._cluster.job(self._job_id)
        return job is not None and job.state in JOB_TERMINAL


@contextmanager
def _thawed(send: Callable[[signal.Signals], object]) -> Iterator[None]:
    try:
        yield
    finally:
        send(signal.SIGCONT)
