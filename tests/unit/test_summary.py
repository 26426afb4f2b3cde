"""The last words about a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from millrace.cli.summary import summary_text
from millrace.types import ChunkState


def summary(**changes: Any) -> dict[str, Any]:
    chunks = {state.value: 0 for state in ChunkState} | changes.pop("chunks", {})
    base = {"id": "j1", "state": "partial", "output": "file:///out", "seconds": None}
    return base | {"rows": 10, "rows_ok": 9, "rows_err": 1, "chunks": chunks} | changes


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
    assert summary_text(summary(), tmp_path).endswith("millrace jobs errors j1")
    assert summary_text(summary(), other).endswith(f"millrace jobs errors j1 --state '{other}'")
