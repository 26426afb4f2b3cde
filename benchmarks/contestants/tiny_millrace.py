"""One job of chunks of one row, through the echo engine: a scheduler and two workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.contestants.tiny_tasks import WARM_UP, Race, read_race
from millrace.cli.embedded_broker import embedded_broker
from millrace.db import migrations
from millrace.spec import JobSpec, ModelRef
from millrace.types import JobState, Join
from tests import postgres
from tests.servers.cluster import Cluster

_WORKERS = 2
_SECONDS = 600.0
_DEFAULTS: dict[str, Any] = {
    "lease_seconds": 60.0,
    "heartbeat_seconds": 10.0,
    "poll_seconds": 10.0,
    "re_ring_seconds": 30.0,
    "leader_seconds": 15.0,
}


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    if kind == "sqlite":
        url = f"sqlite:///{folder / 'millrace.db'}"
        migrations.upgrade(url)
        yield url
        return
    binary = postgres.binaries()
    assert binary is not None, "apt install postgresql"
    with postgres.serve(binary, durable=True) as server, server.database() as url:
        yield url


def _run(cluster: Cluster, folder: Path, tasks: int) -> float:
    source = folder / f"{tasks}.jsonl"
    source.write_text("".join(json.dumps({"id": n}) + "\n" for n in range(tasks)))
    spec = JobSpec(
        model=ModelRef(engine="echo", location=""),
        input=source.as_uri(),
        output=(folder / f"out-{tasks}").as_uri(),
        output_format="jsonl",
        join=Join.NONE,
        chunk_rows=1,
    )
    job = cluster.wait(cluster.submit(spec), _SECONDS)
    assert job.state is JobState.SUCCEEDED, job.reason
    assert job.finished_at is not None, "it has ended"
    return job.finished_at - job.created_at


def main(race: Race) -> None:
    with (
        _database(race.kind, race.folder) as url,
        embedded_broker() as broker,
        Cluster(race.folder, url, broker, workers=_WORKERS, **_DEFAULTS) as cluster,
    ):
        _run(cluster, race.folder, WARM_UP)
        print(_run(cluster, race.folder, race.tasks))


if __name__ == "__main__":
    main(read_race())
