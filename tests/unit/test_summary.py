"""The last words about a job."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from millrace.cli.database_desk import DatabaseDesk
from millrace.cli.summary import summary_text
from millrace.db.session import Database
from millrace.settings import Settings
from millrace.types import ChunkState


def summary(**changes: Any) -> dict[str, Any]:
    chunks = {state.value: 0 for state in ChunkState} | changes.pop("chunks", {})
    base = {"id": "j1", "state": "partial", "output": "file:///out", "seconds": None}
    return base | {"rows": 10, "rows_ok": 9, "rows_err": 1, "chunks": chunks} | changes


def options_of(state: Path) -> str:
    with closing(Database.connect(f"sqlite:///{state / 'millrace.db'}")) as database:
        return DatabaseDesk(database, Settings.load(state=state)).options


def test_rows_are_counted_where_there_are_any() -> None:
    assert summary_text(summary()).startswith("partial: 9 of 10 rows\n")


@pytest.mark.parametrize(
    ("chunks", "said"),
    [
        ({"pending": 4, "committed": 0, "split": 2}, "failed: 0 of 4 blocks"),
        ({}, "failed: before any block was planned"),
    ],
)
def test_blocks_where_no_row_is_known(chunks: dict[str, int], said: str) -> None:
    failed = summary(state="failed", rows=0, rows_ok=0, rows_err=0, seconds=3.0, chunks=chunks)
    assert summary_text(failed) == said


def test_the_state_folder_is_named_only_where_it_is_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MILLRACE_STATE", str(tmp_path))
    other = tmp_path / "my state"
    assert summary_text(summary(), options_of(tmp_path)).endswith("millrace jobs errors j1")
    told = summary_text(summary(), options_of(other))
    assert told.endswith(f"millrace jobs errors j1 --state '{other}'")
