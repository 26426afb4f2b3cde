"""Fixtures: servers of a test's own, gone at its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.broker import Rabbit, Valkey


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """A Valkey that runs; the test may kill it."""
    broker = Valkey()
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(scope="session")
def rabbit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rabbit]:
    """A RabbitMQ that runs, one for all tests: it takes seconds to start."""
    broker = Rabbit(tmp_path_factory.mktemp("rabbit"))
    broker.start()
    yield broker
    broker.kill()
