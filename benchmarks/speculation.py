"""A job on three workers of which one is twenty times slower: ``python -m benchmarks.speculation``.

With and without speculation, in turns: a real scheduler and real workers on Postgres and Valkey.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from statistics import median

from benchmarks.report import machine
from millrace.cli.embedded_broker import embedded_broker
from millrace.registry import models
from millrace.spec import JobSpec
from millrace.types import JobState, Join
from tests import postgres
from tests.servers.cluster import Cluster

WORKERS = 3
CHUNKS = 60
ROWS_PER_CHUNK = 10
SECONDS_PER_ROW = 0.1
SLOWER = 20

_PREDICTOR = f"""
import time
from pathlib import Path
from millrace.predictor import Predictor

class Sleeper(Predictor):
    def load(self, device):
        try:
            Path(__file__).with_name("first").touch(exist_ok=False)
            self.seconds = {SECONDS_PER_ROW * SLOWER}
        except FileExistsError:
            self.seconds = {SECONDS_PER_ROW}

    def predict(self, batch):
        time.sleep(self.seconds * len(batch["text"]))
        return {{"seen": batch["text"]}}
"""
"""The worker that loads it first is the slow one."""


def wall(folder: Path, *, speculate: bool) -> tuple[float, int]:
    """Seconds from submission to the end, and how many chunks were offered to a second worker."""
    binary = postgres.binaries()
    assert binary is not None, "apt install postgresql"
    with (
        postgres.serve(binary) as server,
        server.database() as url,
        embedded_broker() as broker,
        Cluster(
            folder,
            url,
            broker,
            workers=WORKERS,
            lease_seconds=60.0,
            heartbeat_seconds=10.0,
            speculate=speculate,
        ) as cluster,
    ):
        job_id = cluster.submit(_spec(folder))
        job = cluster.wait(job_id, 600.0)
        assert job.state is JobState.SUCCEEDED, job.reason
        assert job.finished_at is not None, "it has ended"
        return job.finished_at - job.created_at, cluster.count(job_id, "offer")


def _spec(folder: Path) -> JobSpec:
    """A job whose chunks take a second each on a worker of usual speed."""
    predictor = folder / "model" / "sleeper.py"
    predictor.parent.mkdir()
    predictor.write_text(_PREDICTOR)
    rows = (json.dumps({"text": f"text {n}"}) + "\n" for n in range(CHUNKS * ROWS_PER_CHUNK))
    (folder / "in.jsonl").write_text("".join(rows))
    return JobSpec(
        model=models.resolve(f"python:{predictor}:Sleeper"),
        input=(folder / "in.jsonl").as_uri(),
        output=(folder / "out").as_uri(),
        output_format="jsonl",
        join=Join.NONE,
        chunk_rows=ROWS_PER_CHUNK,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speculation")
    parser.add_argument("--rounds", type=int, default=2)
    rounds = parser.parse_args().rounds
    print(machine())
    print(
        f"{CHUNKS} chunks of {ROWS_PER_CHUNK * SECONDS_PER_ROW:.0f} s on {WORKERS} workers,"
        f" one of them {SLOWER} times slower\n"
    )
    taken: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(rounds):
        for speculate, seconds in taken.items():
            with tempfile.TemporaryDirectory(prefix="millrace-") as folder:
                wall_seconds, offered = wall(Path(folder), speculate=speculate)
            seconds.append(wall_seconds)
            print(f"{_name(speculate):20} {wall_seconds:6.1f} s   {offered} offered", flush=True)
    without = median(taken[False])
    for speculate, seconds in taken.items():
        figure = median(seconds)
        print(f"{_name(speculate):20} median {figure:6.1f} s   {figure / without:.2f} ×")


def _name(speculate: bool) -> str:
    return "with speculation" if speculate else "without speculation"


if __name__ == "__main__":
    main()
