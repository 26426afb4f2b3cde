"""A database that comes back from a backup which was taken in the middle of a job (F41)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from millrace.db.session import Database
from millrace.types import JobState
from millrace.verification import verify
from tests.integration.conftest import StartChild
from tests.jobs import manifest_bytes, seen, started, texts, written
from tests.running import carry_out, runner_of


def backed_up(database_url: str, copy: Path) -> str:
    """The URL of a copy of the database as it is now."""
    file = database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    return f"sqlite:///{copy}"


def test_what_was_published_stands_though_the_database_is_older(
    database: Database, database_url: str, compute: StartChild, tmp_path: Path
) -> None:
    """Its chunks run again under names of their own; the manifest that is there stays."""
    written(tmp_path, texts(12))
    job_id = started(database, tmp_path, chunk_rows=3)
    runner = runner_of(database, compute(), tmp_path)
    assert runner.run_due(job_id)
    backup = backed_up(database_url, tmp_path / "backup.db")
    carry_out(database, runner, job_id)
    job = seen(database, job_id)
    assert job.state is JobState.SUCCEEDED
    published = manifest_bytes(job)

    restored = Database.connect(backup)
    try:
        carry_out(restored, runner_of(restored, compute(), tmp_path), job_id)
        assert seen(restored, job_id).reason_code == "OUTPUT_CONFLICT"
    finally:
        restored.close()
    assert manifest_bytes(job) == published
    assert not verify(job.spec.output).faults
