"""Fixtures for all tests: real databases, each new and migrated, and a clock that obeys."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.db import migrations
from millrace.db.session import Database
from tests import postgres
from tests.clocks import FakeClock

pytest_plugins = [
    "tests.commands",
    "tests.services",
    "tests.servers.fixtures",
    "tests.servers.s3_fixtures",
]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.PostgresServer]:
    binary = postgres.binaries()
    if binary is None:
        pytest.fail("there is no Postgres on this machine: apt install postgresql")
    with postgres.serve(binary) as server:
        yield server


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    migrations.upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated, empty database of each kind."""
    if request.param == "sqlite":
        file = shutil.copy(request.getfixturevalue("migrated_sqlite"), tmp_path / "millrace.db")
        yield f"sqlite:///{file}"
    else:
        with request.getfixturevalue("postgres_server").database() as url:
            yield url


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database of each kind in which there is nothing yet."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'millrace.db'}"
    else:
        with request.getfixturevalue("postgres_server").database(migrated=False) as url:
            yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database.connect(database_url)
    yield opened
    opened.close()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()
