"""Fixtures: S3 servers, one of each kind for all tests, and a bucket of its own for each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.ceph import RadosGateway
from tests.servers.s3 import Moto, connected, new_bucket


@pytest.fixture(scope="session")
def moto() -> Iterator[Moto]:
    server = Moto()
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def rados_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RadosGateway]:
    if not RadosGateway.installed():
        pytest.skip("there is no Ceph: apt install radosgw ceph-mon ceph-osd")
    server = RadosGateway(tmp_path_factory.mktemp("ceph"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def bucket(moto: Moto) -> Iterator[str]:
    """The URI of an empty bucket on a server that this process is connected to."""
    with connected(moto.url):
        yield new_bucket(moto.url)
