"""Rows that kill what computes them, by every kind of death (F12, F59, F60): one record each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import ceil, log2
from pathlib import Path

import pytest

from millrace.lifecycle.transitions import ChunkVerb
from millrace.types import JobId, JobState
from millrace.verification import verify
from tests.jobs import errors, results, spec_of, texts, written
from tests.postgres import PostgresServer
from tests.servers.cluster import Cluster
from tests.servers.memory_limit import memory_limit
from tests.waiting import until

ROWS = 60
BATCH = 8
POISON = {7: "::segv", 23: "::exit 3", 24: "::segv", 59: "::exit 0"}
MOST_CRASHES = 2 + 2 * ceil(log2(BATCH))
"""Of one poison row (I15)."""


@pytest.fixture
def one(databases: PostgresServer, tmp_path: Path) -> Iterator[Cluster]:
    """A scheduler and one worker, which is killed for standing still for two seconds."""
    with (
        databases.database() as url,
        Cluster(tmp_path, url, workers=1, stall_seconds=4.0) as running,
    ):
        yield running


def submitted(cluster: Cluster, folder: Path, poison: dict[int, str]) -> JobId:
    written(folder, texts(ROWS, **{f"_{row}": text for row, text in poison.items()}))
    options = {"scripted": True, "max_rows": BATCH}
    return cluster.submit(spec_of(folder, chunk_rows=20, options=options))


def assert_buried(cluster: Cluster, job_id: JobId, poison: dict[int, str]) -> None:
    """Each has a record, all others their result, and the deaths were few."""
    job = cluster.wait(job_id, 200)
    assert job.state is JobState.PARTIAL, job.reason
    assert Counter(row["id"] for row in results(job)) == Counter({*range(ROWS)} - {*poison})
    assert {row["row"]: row["code"] for row in errors(job)} == dict.fromkeys(
        poison, "WORKER_CRASHED"
    )
    assert cluster.count(job_id, ChunkVerb.CRASH) <= MOST_CRASHES * len(poison)
    assert not verify(job.spec.output).faults


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_rows_that_kill_are_found_and_buried(one: Cluster, tmp_path: Path) -> None:
    assert_buried(one, submitted(one, tmp_path, POISON), POISON)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_row_that_hangs_is_found_and_buried(one: Cluster, tmp_path: Path) -> None:
    poison = {30: "::hang"}
    assert_buried(one, submitted(one, tmp_path, poison), poison)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_row_that_takes_all_memory_is_found_and_buried(one: Cluster, tmp_path: Path) -> None:
    """The kernel kills the compute process; its worker, in the same group, lives."""
    poison = {30: "::oom 4"}
    worker = one.workers[0]
    until(worker.children, "the compute process is there", 30)
    assert worker.process is not None
    with memory_limit(1 << 30) as limit:
        limit.add([worker.process.pid, *(child.pid for child in worker.children())])
        assert_buried(one, submitted(one, tmp_path, poison), poison)
        assert worker.starts == 1, "the worker died of it"
        one.end()
