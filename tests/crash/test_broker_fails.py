"""Brokers that forget, die, lie down and overflow (F18 to F20, F23, F25, F26)."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from millrace.lifecycle.transitions import ChunkVerb
from tests.crash.work import assert_clean, submitted
from tests.postgres import PostgresServer
from tests.servers.broker import Valkey
from tests.servers.cluster import Cluster
from tests.servers.ports import free_port
from tests.servers.proxy import Proxy, Toxic
from tests.waiting import until


def forget(broker: Valkey, _: Proxy) -> None:
    assert broker.command("FLUSHALL") == "+OK"


def die(broker: Valkey, _: Proxy) -> None:
    broker.kill()
    broker.start()


def hang(broker: Valkey, _: Proxy) -> None:
    os.kill(broker.pid, signal.SIGSTOP)


def overflow(broker: Valkey, _: Proxy) -> None:
    broker.command("CONFIG", "SET", "maxmemory", "1")


def vanish(_: Valkey, proxy: Proxy) -> None:
    proxy.toxic = Toxic.BLACKHOLE


def cut(_: Valkey, proxy: Proxy) -> None:
    proxy.reset()


@pytest.fixture(scope="module")
def proxy(broker: Valkey) -> Iterator[Proxy]:
    with Proxy(("127.0.0.1", broker.port)) as between:
        yield between


@pytest.fixture(scope="module")
def cluster(
    databases: PostgresServer, proxy: Proxy, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A scheduler and two workers that reach the broker through the proxy."""
    folder, through = tmp_path_factory.mktemp("cluster"), f"redis://127.0.0.1:{proxy.port}/0"
    with databases.database() as url, Cluster(folder, url, through) as running:
        yield running


@pytest.mark.parametrize("fault", [forget, die, hang, overflow, vanish, cut])
def test_a_broker_in_trouble_costs_seconds(
    cluster: Cluster,
    broker: Valkey,
    proxy: Proxy,
    tmp_path: Path,
    fault: Callable[[Valkey, Proxy], None],
) -> None:
    cluster.tend()
    job_id = submitted(cluster, tmp_path, 36)
    until(lambda: cluster.count(job_id, ChunkVerb.COMMIT), "the job is under way", 30)
    try:
        fault(broker, proxy)
        assert_clean(cluster, job_id, 36, seconds=30)
    finally:
        proxy.toxic = Toxic.PASS
        os.kill(broker.pid, signal.SIGCONT)
        broker.command("CONFIG", "SET", "maxmemory", "0")


def test_with_a_dead_broker_from_the_start_the_job_is_done(
    databases: PostgresServer, tmp_path: Path
) -> None:
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    with databases.database() as url, Cluster(tmp_path, url, nobody) as cluster:
        assert_clean(cluster, submitted(cluster, tmp_path, 36), 36)
