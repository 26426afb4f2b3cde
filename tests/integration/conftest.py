"""Fixtures of whole services: a SQLite database, and processes that end with their test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from millrace.db.session import Database
from millrace.types import JobId
from tests.integration.publishing import computed
from workers.child import ComputeChild, Entry
from workers.compute import serve
from workers.spawn import ComputeSettings

StartChild = Callable[..., ComputeChild]


@pytest.fixture
def database_url(migrated_sqlite: Path, tmp_path: Path) -> str:
    """SQLite only: what differs between databases is tested with the verbs."""
    (tmp_path / "state").mkdir()
    return f"sqlite:///{shutil.copy(migrated_sqlite, tmp_path / 'state' / 'millrace.db')}"


@pytest.fixture
def compute() -> Iterator[StartChild]:
    """Compute children, each killed at the end of the test."""
    started: list[ComputeChild] = []

    def start(entry: Entry = serve) -> ComputeChild:
        started.append(ComputeChild(ComputeSettings(device="cpu"), entry))
        return started[-1]

    yield start
    for child in started:
        child.kill()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = Database.connect(database_url)
    yield opened
    opened.close()


@pytest.fixture
def frozen(database: Database, compute: StartChild, tmp_path: Path) -> JobId:
    """A job that is computed and not published: two files, three bad rows and one that killed."""
    return computed(database, compute(), tmp_path)
