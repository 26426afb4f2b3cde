"""Databases that answer nobody, or whose answer is lost (F30 to F34)."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from millrace.lifecycle.transitions import ChunkVerb
from millrace.types import JobId
from tests.crash.test_zombies import stopped
from tests.crash.work import assert_clean, submitted
from tests.postgres import PostgresServer, Postmaster
from tests.servers.cluster import Cluster
from tests.servers.proxy import Proxy, Toxic
from tests.waiting import gone, until


@pytest.fixture(scope="module")
def proxy(postmaster: Postmaster) -> Iterator[Proxy]:
    assert postmaster.port is not None
    with Proxy(("127.0.0.1", postmaster.port)) as between:
        yield between


@pytest.fixture(scope="module")
def cluster(
    databases: PostgresServer, proxy: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A scheduler and two workers that reach the database through the proxy; we do not."""
    folder = tmp_path_factory.mktemp("cluster")
    with databases.database() as url:
        through = url.replace(f":{databases.port}/", f":{proxy.port}/")
        with Cluster(folder, url, environment={"MILLRACE_DATABASE_URL": through}) as running:
            yield running


@pytest.mark.parametrize("toxic", [Toxic.SWALLOW_RESPONSE, Toxic.DROP_REQUEST])
def test_a_commit_whose_outcome_is_unknown_is_found_out(
    cluster: Cluster, proxy: Proxy, tmp_path: Path, toxic: Toxic
) -> None:
    """Done or not, it is asked for and never done twice (F32, F33)."""
    victim, other = cluster.workers
    victim.end()
    other.end()
    victim.start("w.in_commit=stop@1")
    job_id = submitted(cluster, tmp_path)
    until(lambda: stopped(victim), "it stops between the statement and its COMMIT", 30)
    proxy.strike(toxic, b"COMMIT")
    victim.send(signal.SIGCONT)
    assert proxy.struck.wait(20)

    assert_clean(cluster, job_id)


def test_a_database_that_is_away_for_long_ends_nothing(
    cluster: Cluster, proxy: Proxy, tmp_path: Path
) -> None:
    """Beyond the leases: what computes is killed, and goes on when it is back (F30, F31)."""
    cluster.tend()
    job_id = submitted(cluster, tmp_path, options={"delay": 4.0})
    until(lambda: cluster.count(job_id, ChunkVerb.CLAIM) >= 2, "both are at work", 30)
    children = [child.pid for worker in cluster.workers for child in worker.children()]
    assert len(children) == 2
    proxy.toxic = Toxic.REFUSE
    proxy.reset()
    # by their own clocks, as the database can tell them nothing
    until(lambda: all(map(gone, children)), "what nobody may trust any more is killed", 30)
    proxy.toxic = Toxic.PASS

    assert_clean(cluster, job_id)


def committed(cluster: Cluster, job_id: JobId, wanted: int) -> bool:
    return cluster.count(job_id, ChunkVerb.COMMIT) >= wanted


def test_a_database_that_crashes_keeps_what_it_has_said(
    cluster: Cluster, postmaster: Postmaster, tmp_path: Path
) -> None:
    cluster.tend()
    job_id = submitted(cluster, tmp_path, 60)
    for crashes in range(1, 4):
        until(partial(committed, cluster, job_id, 3 * crashes), "work goes on", 30)
        postmaster.crash()
        postmaster.start()

    assert_clean(cluster, job_id, 60)
