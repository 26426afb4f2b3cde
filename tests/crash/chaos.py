"""``scripts/chaos``: storms by seed, one after the other, a line for each.

200 chunks on four workers and two schedulers over Postgres, with 50 kills -9 of workers, compute
processes and schedulers, a broker that forgets, a database that crashes, and 30 of 100 operations
on S3 going wrong; then RabbitMQ instead of Redis, then no broker at all. Between storms, the
simulation looks for longer than in the ordinary tests.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from millrace.types import JobState
from tests import postgres
from tests.crash.storm import Outcome, Storm, Weather
from tests.jobs import spec_of
from tests.postgres import PostgresServer, Postmaster
from tests.servers.broker import Rabbit, Valkey
from tests.servers.cluster import Cluster
from tests.servers.oracle import CLEAN
from tests.servers.ports import free_port
from tests.servers.s3 import Moto, client, connected, new_bucket
from tests.servers.s3_faults import Kind, S3Faults

CHUNKS, CHUNK_ROWS = 200, 20
ROWS = CHUNKS * CHUNK_ROWS
WEATHER = Weather(kills=50, forgets=2, crashes=1, freezes=2)
BROKERS = ("redis", "rabbitmq", "none")
SECONDS = 900.0
SIMULATIONS = 100
_S3_SHARES = {
    Kind.SLOW_DOWN: 0.12,
    Kind.FAIL_AFTER: 0.06,
    Kind.SWALLOW: 0.06,
    Kind.REFUSE: 0.05,
    Kind.TRUNCATE: 0.04,
}
"""Together three of ten operations: each rule has its share of what the ones before let pass."""


def main() -> int:
    """Run storms until the time is over; 1 where one of them broke something."""
    asked = _arguments()
    until = time.monotonic() + 60 * asked.minutes
    broken, seed = 0, asked.seed
    with _postgres() as (postmaster, databases), _moto() as moto:
        while True:
            broker = BROKERS[seed % len(BROKERS)] if asked.broker is None else asked.broker
            broken += not _weathers(postmaster, databases, moto, broker, seed)
            broken += not _simulates(seed, asked.simulations)
            seed += 1
            if time.monotonic() >= until:
                break
    _say(f"{seed - asked.seed} seeds, {broken} failures")
    return int(bool(broken))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="begin no seed after so long")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--broker", choices=BROKERS, help="this one only; by turns otherwise")
    parser.add_argument(
        "--simulations", type=int, default=SIMULATIONS, help="examples of the simulation per seed"
    )
    return parser.parse_args()


def _weathers(
    postmaster: Postmaster, databases: PostgresServer, moto: Moto, broker: str, seed: int
) -> bool:
    """One storm, told in one line; false where anything was lost, repeated or never done."""
    try:
        outcome = _storm(postmaster, databases, moto, broker, seed)
    except (Exception, AssertionError):
        traceback.print_exc()
        _say(f"seed {seed} {broker}: FAILED to end; again: {_again(broker, seed)}")
        return False
    found = outcome.findings
    clean = found == CLEAN and outcome.state is JobState.SUCCEEDED
    blows = ", ".join(f"{count} {name}" for name, count in sorted(outcome.blows.items()))
    _say(
        f"seed {seed} {broker}: {outcome.state}, rows lost {found.lost}, "
        f"duplicated {found.duplicated}, committed work repeated {found.repeated}, "
        f"{outcome.seconds:.0f} s ({blows}, {outcome.storage_faults:.0%} of S3 operations)"
        + ("" if clean else f"; FAILED {found.faults}; again: {_again(broker, seed)}")
    )
    return clean


def _again(broker: str, seed: int) -> str:
    return f"scripts/chaos --minutes 0 --seed {seed} --broker {broker}"


def _storm(
    postmaster: Postmaster, databases: PostgresServer, moto: Moto, kind: str, seed: int
) -> Outcome:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="millrace-chaos-")))
        broker = stack.enter_context(_broker(kind, folder))
        url = stack.enter_context(databases.database())
        faults = stack.enter_context(S3Faults(moto.url, seed))
        stack.enter_context(connected(faults.url))
        bucket = new_bucket(moto.url)
        _fill(moto, bucket)
        cluster = stack.enter_context(
            Cluster(
                folder,
                url,
                broker.url if broker else "",
                schedulers=2,
                workers=4,
                supervised=True,
                s3_endpoint_url=faults.url,
                # S3 that fails often takes its time, and a commit waits for nobody
                stall_seconds=120.0,
            )
        )
        spec = spec_of(
            folder,
            input=f"{bucket}/in",
            output=f"{bucket}/out",
            chunk_rows=CHUNK_ROWS,
            options={"delay": 0.2},
        )
        job_id = cluster.submit(spec)
        for fault, share in _S3_SHARES.items():
            faults.add(fault, share=share, at=40)
        storm = Storm(
            cluster,
            job_id,
            ROWS,
            broker=broker,
            postmaster=postmaster,
            faults=faults,
            seed=seed,
        )
        return storm.rage(WEATHER, SECONDS)


def _fill(moto: Moto, bucket: str) -> None:
    lines = [json.dumps({"id": row, "text": f"text {row}"}) + "\n" for row in range(ROWS)]
    half = ROWS // 2
    speaker = client(moto.url)
    for name, part in (("0", lines[:half]), ("1", lines[half:])):
        speaker.put_object(
            Bucket=bucket.removeprefix("s3://"),
            Key=f"in/{name}.jsonl",
            Body="".join(part).encode(),
        )


def _simulates(seed: int, examples: int) -> bool:
    """The simulation with other examples than the ordinary tests have."""
    if not examples:
        return True
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/simulation", f"--hypothesis-seed={seed}"],
        env={**os.environ, "MILLRACE_SIMULATIONS": str(examples)},
        capture_output=True,
        text=True,
        check=False,
    )
    told = "held" if done.returncode == 0 else f"FAILED\n{done.stdout}"
    _say(f"seed {seed} simulation: {examples} examples {told}")
    return done.returncode == 0


@contextmanager
def _broker(kind: str, folder: Path) -> Iterator[Valkey | Rabbit | None]:
    if kind == "none":
        yield None
        return
    broker = Valkey() if kind == "redis" else Rabbit(folder / "rabbit")
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


@contextmanager
def _postgres() -> Iterator[tuple[Postmaster, PostgresServer]]:
    binary = postgres.binaries()
    assert binary is not None, "there is no Postgres on this machine: apt install postgresql"
    postmaster = Postmaster(binary, free_port())
    try:
        postmaster.start()
        server = PostgresServer("127.0.0.1", postmaster.port)
        yield postmaster, server
        server.close()
    finally:
        postmaster.remove()


@contextmanager
def _moto() -> Iterator[Moto]:
    server = Moto()
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
