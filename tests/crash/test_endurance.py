"""What takes minutes: faults that go on and on, and growth that only shows after a while.

Run by ``scripts/chaos endurance``; what they found stands in docs/faults.md.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text

from millrace.db import migrations
from millrace.db.session import Database
from millrace.lifecycle import queries
from millrace.types import ChunkState, JobId, JobState
from tests.crash.work import assert_clean, submitted
from tests.postgres import PostgresServer, Postmaster
from tests.servers.broker import Valkey
from tests.servers.cluster import Cluster, Member
from tests.servers.proxy import Proxy
from tests.waiting import until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_200)]

ROWS = 1_800
LONG = 600.0


def committed(cluster: Cluster, job_id: JobId) -> int:
    with cluster.database.read() as connection:
        return queries.progress(connection, job_id).chunks[ChunkState.COMMITTED]


def reach(cluster: Cluster, job_id: JobId, chunks: int) -> None:
    """Wait until so many chunks are committed."""

    def reached() -> bool:
        return committed(cluster, job_id) >= chunks

    until(reached, f"{chunks} chunks are committed", 120, every=0.1)


def test_connections_to_the_broker_that_are_reset_all_the_time(
    databases: PostgresServer, broker: Valkey, tmp_path: Path
) -> None:
    """F23: about every two seconds, for a minute."""
    with Proxy(("127.0.0.1", broker.port)) as proxy, databases.database() as url:
        through = f"redis://127.0.0.1:{proxy.port}/0"
        with Cluster(tmp_path / "cluster", url, through) as cluster:
            job_id = submitted(cluster, tmp_path, ROWS)
            for chunks in range(20, ROWS // 3, 20):
                reach(cluster, job_id, chunks)
                proxy.reset()
            assert_clean(cluster, job_id, ROWS, LONG)


def test_a_database_that_crashes_again_and_again(
    postmaster: Postmaster, databases: PostgresServer, broker: Valkey, tmp_path: Path
) -> None:
    """F34: with a different pause each time."""

    def crash() -> None:
        postmaster.crash()
        postmaster.start()

    dice = random.Random(34)
    with databases.database() as url, Cluster(tmp_path / "cluster", url, broker.url) as cluster:
        job_id = submitted(cluster, tmp_path, ROWS)
        for _ in range(15):
            more = committed(cluster, job_id) + dice.randint(10, 35)
            reach(cluster, job_id, min(more, ROWS // 3))
            crash()
        assert_clean(cluster, job_id, ROWS, LONG)


@contextmanager
def long_reader(database: Database) -> Iterator[None]:
    """Somebody who looks at one state of the database all the time."""
    looking, done = threading.Event(), threading.Event()

    def read() -> None:
        with database.read() as connection:
            connection.execute(text("SELECT count(*) FROM chunk"))
            looking.set()
            done.wait()

    thread = threading.Thread(target=read)
    thread.start()
    assert looking.wait(20)
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_eight_processes_write_to_one_sqlite_while_somebody_reads(tmp_path: Path) -> None:
    """F38: nobody is told of a lock."""
    url = f"sqlite:///{tmp_path / 'millrace.db'}"
    migrations.upgrade(url)
    folder = tmp_path / "cluster"
    with (
        Cluster(folder, url, workers=6, schedulers=2, max_batch=1) as cluster,
        long_reader(cluster.database),
    ):
        tiny = {"chunk_rows": 1, "options": {}}
        job_id = submitted(cluster, tmp_path, ROWS, **tiny)
        assert_clean(cluster, job_id, ROWS, LONG)
    logs = [path.read_text() for path in folder.glob("*.log")]
    assert len(logs) == 8
    assert not [line for log in logs for line in log.splitlines() if "locked" in line.lower()]


@dataclass(frozen=True, slots=True)
class Size:
    """What a process holds."""

    memory: int
    files: int
    threads: int

    @classmethod
    def of(cls, process: psutil.Process) -> Size:
        with process.oneshot():
            return cls(process.memory_info().rss, process.num_fds(), process.num_threads())


def sizes(members: list[Member]) -> dict[str, Size]:
    found = {}
    for member in members:
        assert member.process is not None
        found[member.name] = Size.of(member.process)
        for child in member.children():
            found[f"{member.name} computes"] = Size.of(child)
    return found


def test_nothing_grows(databases: PostgresServer, tmp_path: Path) -> None:
    """I25: over several thousand chunks in many jobs, in all processes and both servers."""
    server = Valkey()
    server.start()
    tiny = {"chunk_rows": 1, "options": {}}
    try:
        with databases.database() as url, Cluster(tmp_path / "cluster", url, server.url) as cluster:

            def work(name: str, jobs: int) -> None:
                for number in range(jobs):
                    folder = tmp_path / f"{name}-{number}"
                    assert_clean(cluster, submitted(cluster, folder, 500, **tiny), 500, LONG)

            def held() -> tuple[int, int]:
                with cluster.database.read() as connection:
                    mine = text(
                        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    )
                    connections = connection.scalar(mine)
                assert connections is not None
                return connections, int(server.command("DBSIZE").removeprefix(":"))

            work("warm", 4)
            before, held_before = sizes(cluster.members), held()
            work("more", 12)
            after, held_after = sizes(cluster.members), held()
    finally:
        server.kill()
    assert after.keys() == before.keys(), "nobody was started again"
    for name, size in after.items():
        assert size.memory < before[name].memory * 1.05 + (4 << 20), (name, before[name], size)
        assert size.files <= before[name].files + 2, (name, before[name], size)
        assert size.threads <= before[name].threads + 2, (name, before[name], size)
    assert held_after[0] <= held_before[0] + 2
    assert held_after[1] <= held_before[1] + 2
    assert not [*tmp_path.rglob(".spool-*")]


def test_many_small_jobs_among_deaths(
    databases: PostgresServer, broker: Valkey, tmp_path: Path
) -> None:
    """F71, in short: whoever is killed whenever, each of several hundred jobs ends clean (I13)."""
    dice = random.Random(71)
    with (
        databases.database() as url,
        Cluster(tmp_path / "cluster", url, broker.url, schedulers=2, workers=3) as cluster,
    ):
        jobs = [submitted(cluster, tmp_path / str(number), 6) for number in range(300)]

        def open_jobs() -> int:
            with cluster.database.read() as connection:
                left = queries.jobs_in(connection, set(JobState) - {JobState.SUCCEEDED})
            return len(left)

        while (left := open_jobs()) > 0:
            victim = dice.choice(cluster.members)
            if dice.random() < 0.3 and victim in cluster.workers:
                victim.kill_child()
            else:
                victim.end()
            until(
                partial(_fewer, open_jobs, max(0, left - 6), cluster), "jobs end", LONG, every=0.1
            )
        for job_id in jobs:
            assert_clean(cluster, job_id, 6, LONG)


def _fewer(count: Callable[[], int], wanted: int, cluster: Cluster) -> bool:
    cluster.tend()
    return count() <= wanted
