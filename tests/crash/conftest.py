"""Fixtures: servers that may crash, and one cluster for all tests of a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import postgres
from tests.postgres import PostgresServer, Postmaster
from tests.servers.broker import Valkey
from tests.servers.cluster import Cluster
from tests.servers.ports import free_port


@pytest.fixture(scope="session")
def postmaster() -> Iterator[Postmaster]:
    """A Postgres that listens on a port and keeps what it has committed through a crash."""
    binary = postgres.binaries()
    if binary is None:
        pytest.fail("there is no Postgres on this machine: apt install postgresql")
    server = Postmaster(binary, free_port())
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def databases(postmaster: Postmaster) -> Iterator[PostgresServer]:
    server = PostgresServer("127.0.0.1", postmaster.port)
    yield server
    server.close()


@pytest.fixture(scope="module")
def broker() -> Iterator[Valkey]:
    """A Valkey that runs, one for all tests of a file."""
    server = Valkey()
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def cluster(
    databases: PostgresServer, broker: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """A scheduler and two workers; a test leaves them as it likes, the next one starts anew what
    has ended.
    """
    folder = tmp_path_factory.mktemp("cluster")
    with databases.database() as url, Cluster(folder, url, broker.url) as running:
        yield running
