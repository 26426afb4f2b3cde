"""What chunks keep of an earlier job, as their rows hold it: written once, with the plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import Connection, select

from millrace.db import tables
from millrace.types import JobId, Kept

_KEPT = TypeAdapter(Kept)


def written(kept: Kept | None) -> dict[str, Any] | None:
    """The document that a chunk's row holds."""
    return None if kept is None else asdict(kept)


def read(document: dict[str, Any] | None) -> Kept | None:
    """What `written` was given."""
    return None if document is None else _KEPT.validate_python(document)


def of_chunks(conn: Connection, job_id: JobId, idxs: Sequence[int]) -> dict[int, Kept]:
    """What those of a job's chunks keep that keep anything."""
    chunk = tables.chunk.c
    rows = conn.execute(
        select(chunk.idx, chunk.kept).where(
            chunk.job_id == job_id, chunk.idx.in_(idxs), chunk.kept.is_not(None)
        )
    )
    return {row.idx: _KEPT.validate_python(row.kept) for row in rows}
