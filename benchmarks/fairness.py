"""Small jobs of one tenant beside a huge one of another: ``python -m benchmarks.fairness``.

A real scheduler and two workers on Postgres and Valkey. The model sleeps 0.5 ms per row and a chunk
is 1,000 rows, so half a second; the huge job alone would take minutes, and is cancelled when the
small ones are done.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.report import machine
from millrace.cli.embedded_broker import embedded_broker
from millrace.lifecycle import jobs
from millrace.spec import JobSpec, ModelRef
from millrace.types import JobId, Join
from tests import postgres
from tests.servers.cluster import Cluster
from tests.waiting import until

SMALL_JOBS = 20
SMALL_ROWS = 1_000
HUGE_ROWS = 1_000_000
WORKERS = 2
TARGET = 2.0

_DEFAULTS: dict[str, Any] = {
    "lease_seconds": 60.0,
    "heartbeat_seconds": 10.0,
    "poll_seconds": 10.0,
    "re_ring_seconds": 30.0,
}
_BATCH, _SECONDS_PER_BATCH = 100, 0.05
_HUGE, _SMALL = "huge", "small"


@dataclass(frozen=True, slots=True)
class Scene:
    """How the small jobs come: one after another or all at once, and beside what."""

    name: str
    at_once: bool
    beside: bool
    tenant: str = _SMALL
    priority: int = 5


SCENES = (
    Scene("one after another, alone", at_once=False, beside=False),
    Scene("one after another, beside the huge job", at_once=False, beside=True),
    Scene("all at once, alone", at_once=True, beside=False),
    Scene("all at once, beside the huge job", at_once=True, beside=True),
    Scene("all at once, beside it, the same tenant", at_once=True, beside=True, tenant=_HUGE),
)
FIRST_COME = Scene("all at once, first come, first served", True, True, _HUGE, priority=0)


class Stage:
    """A cluster and the files that its jobs read."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        self._jobs = 0

    def play(self, scene: Scene) -> list[float]:
        """Seconds from submission to the end of each small job."""
        huge = self._submit(_HUGE, HUGE_ROWS) if scene.beside else None
        if huge is not None:
            until(lambda: self._cluster.count(huge, "commit"), "the huge job runs", 120)
        if scene.at_once:
            small = [
                self._submit(scene.tenant, SMALL_ROWS, scene.priority) for _ in range(SMALL_JOBS)
            ]
            seconds = [self._seconds(job_id) for job_id in small]
        else:
            seconds = [
                self._seconds(self._submit(scene.tenant, SMALL_ROWS, scene.priority))
                for _ in range(SMALL_JOBS)
            ]
        if huge is not None:
            self._cancel(huge)
        return seconds

    def _submit(self, tenant: str, rows: int, priority: int = 5) -> JobId:
        self._jobs += 1
        spec = JobSpec(
            model=ModelRef(engine="echo", location=""),
            input=_rows(self._folder, rows).as_uri(),
            output=(self._folder / f"out-{self._jobs}").as_uri(),
            output_format="jsonl",
            join=Join.NONE,
            priority=priority,
            chunk_rows=SMALL_ROWS,
            options={"max_rows": _BATCH, "delay": _SECONDS_PER_BATCH},
        )
        return self._cluster.submit(spec, tenant=tenant)

    def _seconds(self, job_id: JobId) -> float:
        job = self._cluster.wait(job_id, 1_800.0)
        assert job.finished_at is not None, "it has ended"
        return job.finished_at - job.created_at

    def _cancel(self, job_id: JobId) -> None:
        with self._cluster.database.write() as connection:
            jobs.cancel(connection, job_id)
        self._cluster.wait(job_id, 120.0)


def p95(seconds: Sequence[float]) -> float:
    """The time within which 95 of 100 were done (the nearest rank)."""
    return sorted(seconds)[math.ceil(0.95 * len(seconds)) - 1]


def _rows(folder: Path, count: int) -> Path:
    path = folder / f"{count}.jsonl"
    if not path.exists():
        with path.open("w") as file:
            file.writelines(json.dumps({"id": n, "text": f"text {n}"}) + "\n" for n in range(count))
    return path


@contextmanager
def stage() -> Iterator[Stage]:
    """Everything that is needed, gone at the end."""
    binary = postgres.binaries()
    assert binary is not None, "apt install postgresql"
    with (
        tempfile.TemporaryDirectory(prefix="millrace-") as folder,
        postgres.serve(binary) as server,
        server.database() as url,
        embedded_broker() as broker,
        Cluster(Path(folder), url, broker, workers=WORKERS, **_DEFAULTS) as cluster,
    ):
        yield Stage(cluster, Path(folder))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness")
    parser.add_argument("--fcfs", action="store_true", help="the order of arrival too (minutes)")
    scenes = (*SCENES, FIRST_COME) if parser.parse_args().fcfs else SCENES
    print(machine())
    print(f"{SMALL_JOBS} jobs of {SMALL_ROWS:,} rows, beside one of {HUGE_ROWS:,}\n")
    alone: dict[bool, float] = {}
    with stage() as ready:
        for scene in scenes:
            seconds = ready.play(scene)
            worst = p95(seconds)
            against = alone.setdefault(scene.at_once, worst)
            print(
                f"{scene.name:45} median {sorted(seconds)[len(seconds) // 2]:6.2f} s"
                f"   p95 {worst:6.2f} s   {worst / against:5.2f} ×",
                flush=True,
            )


if __name__ == "__main__":
    main()
