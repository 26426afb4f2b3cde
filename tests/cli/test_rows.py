"""Results and errors on standard output, however many there are."""

from __future__ import annotations

from pathlib import Path

from millrace.cli.state import opened
from millrace.front.rows import error_records
from millrace.lifecycle import queries
from millrace.manifest import MANIFEST, Manifest
from millrace.types import JobId
from tests.commands import Millrace


def test_errors_are_read_piece_by_piece(millrace: Millrace, tmp_path: Path, state: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"id": 1}\n' + "nonsense\n" * 10_000)
    asked = ("run", "--model", "echo", "--input", "rows.jsonl", "--output", "out")
    assert millrace(*asked, "--chunk-rows", "20000", "--workers", "1").returncode == 9
    manifest = Manifest.from_bytes((tmp_path / "out" / MANIFEST).read_bytes())

    with opened(state) as database:
        with database.read() as connection:
            job = queries.known_job(connection, JobId(manifest.job))
        pieces = list(error_records(database, job))

    assert max(map(len, pieces)) == 1 << 20
    kept = [(tmp_path / "out" / entry.path).read_bytes() for entry in manifest.errors]
    assert b"".join(pieces) == b"".join(kept)
