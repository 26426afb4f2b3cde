"""Rings: those for a chunk that is there are answered, all others dropped."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace import topics
from millrace.db.session import Database
from millrace.settings import Settings
from tests import jobs as stage
from tests.integration.conftest import StartChild
from tests.lifecycle.stage import chunk_row
from tests.running import runner_of, verbs
from workers.app import worker_app

FORGED: list[tuple[object, ...]] = [
    ("no such job", 0),
    (0, "no such job"),
    (None, None),
    ({"$oid": "x"}, 0),
    ("'; DROP TABLE job; --", 0),
    ("a\0b", 0),
    ("job", True),
    ("job", -1),
    ("job", 2**70),
    ("job", 1.5),
    ("x" * 1_000_000, 0),
]


@pytest.mark.parametrize("forged", FORGED, ids=lambda each: repr(each)[:30])
def test_a_forged_ring_is_dropped(
    database: Database, compute: StartChild, tmp_path: Path, forged: tuple[object, ...]
) -> None:
    """F28: no error, no claim, no process asked."""
    stage.written(tmp_path, stage.texts(3))
    job_id = stage.started(database, tmp_path)
    child = compute()
    runner = runner_of(database, child, tmp_path)
    ring = worker_app(Settings(state=tmp_path), runner).tasks[topics.RING]

    ring(*forged)

    assert chunk_row(database, job_id).state == "pending"
    assert child.pid is None


def test_a_ring_is_answered(database: Database, compute: StartChild, tmp_path: Path) -> None:
    stage.written(tmp_path, stage.texts(3))
    job_id = stage.started(database, tmp_path)
    runner = runner_of(database, compute(), tmp_path)
    ring = worker_app(Settings(state=tmp_path), runner).tasks[topics.RING]
    ring(job_id, 0)
    ring(job_id, 0)
    assert verbs(database, job_id) == ["claim", "commit"]
