"""Everything that the state machine acts on: one database, one folder, processes and messages."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from millrace.db import tables
from millrace.db.session import Database
from millrace.lifecycle import jobs
from millrace.lifecycle import workers as roster
from millrace.settings import Settings
from millrace.spec import JobSpec
from millrace.storage.uri import local_path
from millrace.types import JobId, JobState, WorkerId
from scheduler.planner import Planner
from scheduler.runner import Service
from scheduler.service import services
from tests.faults import FaultyDatabase, Switch
from tests.jobs import spec_of
from tests.scheduling import Bell
from tests.simulation.actor import Actor
from tests.simulation.child import POISON, Child
from tests.simulation.clocks import ProcessClock, Time
from workers.chunk_runner import ChunkRunner

TTL = 60.0
_MEMORY = Path("/dev/shm")


@dataclass(frozen=True, slots=True)
class Asked:
    """One submission: what must come out."""

    job_id: JobId
    rows: int
    poison: frozenset[int]
    spec: JobSpec


class Process:
    """A scheduler or a worker: at most one actor at a time; killed, it comes back as another."""

    def __init__(self, world: World, name: str, skew: float) -> None:
        self.name = name
        self.life = 0
        self.actor: Actor | None = None
        self.switch = Switch()
        self.clock = ProcessClock(world.time, skew)
        self.database = FaultyDatabase(world.database, self.switch)

    @property
    def worker(self) -> WorkerId:
        return self.named(self.life)

    def named(self, life: int) -> WorkerId:
        return WorkerId(f"{self.name}.{life}")

    @property
    def busy(self) -> bool:
        return self.actor is not None and not self.actor.over

    def act(self, work: Callable[[], object]) -> None:
        """Begin to do something."""
        assert not self.busy
        self.actor = Actor(self.name, work)

    def go_on(self, place: str) -> None:
        """Go on until it comes to `place`, or to the end."""
        while self.actor is not None and not self.actor.over:
            self.actor.step()
            if self.actor.at == place:
                return

    def carry_out(self, work: Callable[[], object]) -> object:
        """Do something from beginning to end."""
        self.act(work)
        assert self.actor is not None
        self.actor.finish()
        return self.actor.result

    def die(self) -> None:
        """Die where it stands, to be started again as another process."""
        if self.actor is not None:
            self.actor.die()
        self.life += 1


class World:
    """Two schedulers and three workers, of which none has begun anything."""

    def __init__(self, folder: Path, migrated: Path) -> None:
        self.folder = folder
        self.time = Time()
        self.asked: list[Asked] = []
        self.damaged: set[JobId] = set()
        file = shutil.copy(migrated, folder / "millrace.db")
        self.database = Database.connect(f"sqlite:///{file}")
        self.time.rule(self.database)
        self._settings = Settings(
            state=folder,
            lease_seconds=TTL,
            heartbeat_seconds=10.0,
            stall_seconds=1e9,
            speculation_factor=1.01,
        )
        self.schedulers = [Process(self, f"scheduler-{n}", 3_600.0 * n) for n in range(2)]
        self.workers = [Process(self, f"worker-{n}", -3_600.0 * n) for n in range(3)]

    @property
    def processes(self) -> list[Process]:
        return [*self.schedulers, *self.workers]

    def submit(self, rows: int, poison: frozenset[int], **changes: Any) -> None:
        """Take in a job over a new file of so many rows, those of `poison` deadly."""
        self.time.now += 1.0
        place = self.folder / str(len(self.asked))
        (place / "in").mkdir(parents=True)
        lines = [
            json.dumps({"id": n, "text": POISON if n in poison else f"text {n}"}) + "\n"
            for n in range(rows)
        ]
        (place / "in" / "rows.jsonl").write_text("".join(lines))
        spec = spec_of(place, options={"max_rows": 2}, **changes)
        with self.database.write() as connection:
            job_id = jobs.submit(connection, spec, now=self.time.now)
        self.asked.append(Asked(job_id, rows, poison, spec))

    def damage(self, which: int) -> None:
        """Delete a committed part of a job that nobody publishes at this moment."""
        job, chunk = tables.job.c, tables.chunk.c
        committed = (
            select(job.id, job.output_uri, chunk.part_path)
            .join(tables.chunk, chunk.job_id == job.id)
            .where(job.state == JobState.RUNNING, chunk.part_path.is_not(None))
            .order_by(job.id, chunk.idx)
        )
        with self.database.read() as connection:
            found = connection.execute(committed).all()
        if found:
            victim = found[which % len(found)]
            (local_path(victim.output_uri) / victim.part_path).unlink(missing_ok=True)
            self.damaged.add(JobId(victim.id))

    def services(self, process: Process) -> list[Service]:
        """What a scheduler does, each part to be ticked on its own; its bells are heard or not."""
        database = process.database
        planner = Planner(database, slots=2, interval=1.0)
        return [planner, *services(database, Bell(), self._settings)]

    def runner(self, process: Process) -> ChunkRunner:
        """What a worker does."""
        child: Any = Child(process.clock)
        with self.database.write() as connection:
            if not roster.seen(connection, process.worker):
                roster.register(connection, process.worker, "host", process.life)
        return ChunkRunner(process.database, child, process.worker, self._settings, process.clock)

    def close(self) -> None:
        for process in self.processes:
            process.die()
        self.database.close()


@contextmanager
def new_world(migrated: Path) -> Iterator[World]:
    """A world in memory where that can be, gone afterwards."""
    place = _MEMORY if _MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="millrace-", dir=place) as folder:
        world = World(Path(folder), migrated)
        try:
            yield world
        finally:
            world.close()
