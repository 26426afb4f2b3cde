"""Chunks that are computed once more: by a new run of their job, or because of what came out."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, update

from millrace.db import tables
from millrace.lifecycle import events, tally
from millrace.lifecycle.guards import LET_GO, among
from millrace.lifecycle.transitions import CHUNK_SETTLED, ChunkVerb
from millrace.types import ChunkKind, ChunkState, JobId

_RESULT = (
    "rows_ok",
    "rows_err",
    "part_path",
    "part_bytes",
    "part_sha256",
    "error_path",
    "error_bytes",
    "error_sha256",
    "error_rows",
    "input_rows",
    "fingerprint",
    "error_code",
    "error_message",
    "finished_at",
)

_AT_ONCE = 1_000


def reopen(conn: Connection, job_id: JobId, *, errors: bool, now: float | None) -> None:
    """Make every open chunk claimable at once, and with `errors` those with error rows too.

    The caller holds the job's lock.
    """
    chunk = tables.chunk.c
    of_job = chunk.job_id == job_id
    conn.execute(
        # Nobody holds a pending chunk, so there is nobody to fence: most of them stay untouched.
        update(tables.chunk)
        .where(
            of_job,
            among(chunk.state, [ChunkState.PENDING]),
            or_(chunk.not_before > 0, chunk.infra_count > 0, chunk.lost_count > 0),
        )
        .values(not_before=0.0, infra_count=0, lost_count=0)
    )
    _to_pending(conn, job_id, ChunkState.LEASED, of_job, now)
    if errors:
        bad = and_(of_job, among(chunk.kind, [ChunkKind.INFER]), chunk.rows_err > 0)
        _forget_results(conn, job_id, bad, now)
        tally.recount(conn, job_id)


def reopen_settled(
    conn: Connection, job_id: JobId, idxs: Collection[int], *, now: float | None
) -> None:
    """Make these settled chunks claimable as if for the first time. The caller locks the job."""
    chunk, wanted = tables.chunk.c, sorted(idxs)
    for first in range(0, len(wanted), _AT_ONCE):
        these = chunk.idx.in_(wanted[first : first + _AT_ONCE])
        _forget_results(conn, job_id, and_(chunk.job_id == job_id, these), now)
    tally.recount(conn, job_id)


def _forget_results(
    conn: Connection, job_id: JobId, which: ColumnElement[bool], now: float | None
) -> None:
    for state in CHUNK_SETTLED:
        _to_pending(conn, job_id, state, which, now, crash_count=0, **dict.fromkeys(_RESULT))


def _to_pending(
    conn: Connection,
    job_id: JobId,
    before: ChunkState,
    which: ColumnElement[bool],
    now: float | None,
    **values: Any,
) -> None:
    chunk = tables.chunk.c
    fresh = {
        **LET_GO,
        "not_before": 0.0,
        "infra_count": 0,
        "lost_count": 0,
        "attempt": chunk.attempt + 1,
    }
    torn = conn.execute(
        update(tables.chunk)
        .where(which, among(chunk.state, [before]))
        .values(state=ChunkState.PENDING, **fresh, **values)
        .returning(chunk.idx, chunk.attempt)
    ).all()
    events.record(
        conn,
        job_id,
        ChunkVerb.RETRY,
        before,
        ChunkState.PENDING,
        idxs=[(row.idx, row.attempt) for row in torn],
        now=now,
    )
