"""What the settled chunks of a job add up to, kept so that nobody has to count them.

Every verb that settles a chunk adds to it in its own transaction, after its locks on the job and
the chunk.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    case,
    delete,
    func,
    insert,
    select,
)

from millrace.db import tables
from millrace.db.upsert import insert_into
from millrace.lifecycle.guards import among
from millrace.lifecycle.transitions import CHUNK_SETTLED
from millrace.types import ChunkKind, ChunkState, JobId

SLOTS = 16
"""Rows per job: so many commits of one job may be on their way to the disk at once."""

_COUNTERS = ("rows_ok", "rows_err", "weight_done", "committed", "dead", "split", "added")


def add(conn: Connection, job_id: JobId, idx: int, **more: int) -> None:
    """Add to the counters named; chunk `idx` (any one of them) decides which row is written."""
    tally, row = tables.tally.c, dict.fromkeys(_COUNTERS, 0) | more
    addition = insert_into(conn, tables.tally).values(job_id=job_id, slot=idx % SLOTS, **row)
    conn.execute(
        addition.on_conflict_do_update(
            index_elements=[tally.job_id, tally.slot],
            set_={name: tally[name] + addition.excluded[name] for name in more},
        )
    )


def recount(conn: Connection, job_id: JobId) -> None:
    """Make the sums anew from the chunks, where settled ones were opened again."""
    conn.execute(delete(tables.tally).where(tables.tally.c.job_id == job_id))
    conn.execute(_recounted(job_id))


def total(counter: str) -> ColumnElement[Any]:
    """The sum over all rows of a job, in a statement that joins them and groups by job."""
    return func.coalesce(func.sum(tables.tally.c[counter]), 0)


def open_chunks() -> ColumnElement[Any]:
    """How many chunks are neither settled nor split, in a statement of the same kind."""
    ended = total("committed") + total("dead") + total("split")
    return tables.job.c.chunks_planned + total("added") - ended


def _recounted(job_id: JobId) -> Insert:
    chunk = tables.chunk.c
    slot = chunk.idx % SLOTS
    counted: dict[str, ColumnElement[Any]] = {
        "rows_ok": func.coalesce(func.sum(chunk.rows_ok), 0),
        "rows_err": func.coalesce(func.sum(chunk.rows_err), 0),
        "weight_done": func.sum(case((among(chunk.state, CHUNK_SETTLED), chunk.weight), else_=0)),
        "committed": _number(among(chunk.state, [ChunkState.COMMITTED])),
        "dead": _number(among(chunk.state, [ChunkState.DEAD])),
        "split": _number(among(chunk.state, [ChunkState.SPLIT])),
        "added": _number(chunk.parent_idx.is_not(None)),
    }
    found = (
        select(chunk.job_id, slot, *(counted[name] for name in _COUNTERS))
        .where(chunk.job_id == job_id, among(chunk.kind, [ChunkKind.INFER]))
        .group_by(chunk.job_id, slot)
    )
    return insert(tables.tally).from_select(["job_id", "slot", *_COUNTERS], found)


def _number(which: ColumnElement[bool]) -> ColumnElement[Any]:
    return func.sum(case((which, 1), else_=0))
