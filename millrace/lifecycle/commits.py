"""Verbs by which the results of chunks become final, and the question whether they did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import BindParameter, Connection, bindparam, case, or_, select, update

from millrace.db import tables
from millrace.db.now import db_now
from millrace.errors import LeaseLost
from millrace.lifecycle import events, tally
from millrace.lifecycle.guards import batches, share_job, stands, this
from millrace.lifecycle.transitions import HONOURED, ChunkVerb
from millrace.types import ChunkKind, ChunkResult, ChunkState, JobId, Lease


def commit(
    conn: Connection, lease: Lease, result: ChunkResult, *, now: float | None = None
) -> None:
    """leased → committed: these parts are the chunk's results, for ever.

    Raises `LeaseLost` where the chunk is not ours any more, or where the job was cancelled, failed
    or expired meanwhile. What `settled` says tells the outcome when the connection dies in here.
    """
    if commit_many(conn, [(lease, result)], now=now):
        raise LeaseLost


def commit_many(
    conn: Connection,
    finished: Sequence[tuple[Lease, ChunkResult]],
    *,
    now: float | None = None,
) -> list[Lease]:
    """`commit` for several chunks of one job at once; returns the leases that were lost."""
    leases = [lease for lease, _ in finished]
    if not leases:
        return []
    (job_id,) = {lease.job_id for lease in leases}
    if share_job(conn, job_id) not in HONOURED[ChunkKind.INFER]:
        return leases
    weights = _lock(conn, leases)
    good = [(lease, result) for lease, result in finished if lease in weights]
    if good:
        _write(conn, good, now)
        _record(conn, job_id, [lease for lease, _ in good], now)
        tally.add(
            conn,
            job_id,
            good[0][0].idx,
            committed=len(good),
            rows_ok=sum(result.rows_ok for _, result in good),
            rows_err=sum(result.rows_err for _, result in good),
            weight_done=sum(weights[lease] for lease, _ in good),
        )
    return [lease for lease in leases if lease not in weights]


def settled(conn: Connection, lease: Lease) -> Literal["committed", "leased", "lost"]:
    """What became of a commit whose outcome is unknown: done, to be tried again, or lost."""
    chunk = tables.chunk.c
    row = conn.execute(
        select(chunk.state, chunk.token).where(
            this(lease.job_id, lease.idx),
            chunk.attempt == lease.attempt,
            or_(chunk.token == lease.token, chunk.twin_token == lease.token),
        )
    ).one_or_none()
    if row is None:
        return "lost"
    if row.state == ChunkState.COMMITTED:
        return "committed"
    return "leased" if row.state == ChunkState.LEASED else "lost"


def _lock(conn: Connection, leases: Sequence[Lease]) -> dict[Lease, int]:
    """The weights of those chunks that are still held; nobody else can change them from now on."""
    chunk = tables.chunk.c
    rows = conn.execute(
        select(chunk.idx, chunk.weight, chunk.attempt, chunk.token, chunk.twin_token)
        .where(
            chunk.job_id == leases[0].job_id,
            chunk.idx.in_([lease.idx for lease in leases]),
            stands(ChunkState.LEASED),
        )
        # In one order for all, so that two who commit the same chunks do not cross.
        .order_by(chunk.idx)
        .with_for_update()
    )
    found = {row.idx: row for row in rows}
    return {
        lease: row.weight
        for lease in leases
        if (row := found.get(lease.idx)) is not None
        and row.attempt == lease.attempt
        and lease.token in (row.token, row.twin_token)
    }


def _write(conn: Connection, good: Sequence[tuple[Lease, ChunkResult]], now: float | None) -> None:
    chunk = tables.chunk.c
    token: BindParameter[str] = bindparam("of_token")
    committing = (
        update(tables.chunk)
        .where(
            chunk.job_id == bindparam("of_job"),
            chunk.idx == bindparam("of_idx"),
            chunk.attempt == bindparam("of_attempt"),
            stands(ChunkState.LEASED),
            or_(chunk.token == token, chunk.twin_token == token),
        )
        .values(
            state=ChunkState.COMMITTED,
            # The winner's, so that it can tell that it was its own commit.
            token=token,
            owner=bindparam("of_worker"),
            leased_at=case((chunk.token == token, chunk.leased_at), else_=chunk.twin_at),
            lease_until=None,
            in_flight=None,
            progress_rows=0,
            offered_at=None,
            twin_token=None,
            twin_owner=None,
            twin_until=None,
            twin_at=None,
            finished_at=db_now(now),
        )
    )
    written = conn.execute(committing, [_row(lease, result) for lease, result in good]).rowcount
    assert written == len(good), "the rows were just locked"


def _row(lease: Lease, result: ChunkResult) -> dict[str, Any]:
    part, error_part = result.part, result.error_part
    return {
        "of_job": lease.job_id,
        "of_idx": lease.idx,
        "of_attempt": lease.attempt,
        "of_token": lease.token,
        "of_worker": lease.worker,
        "rows_ok": result.rows_ok,
        "rows_err": result.rows_err,
        "part_path": part and part.path,
        "part_bytes": part and part.bytes,
        "part_sha256": part and part.sha256,
        "error_path": error_part and error_part.path,
        "error_bytes": error_part and error_part.bytes,
        "error_sha256": error_part and error_part.sha256,
        "error_rows": error_part and error_part.rows,
        "input_rows": [[each.index, each.rows, each.start, each.end] for each in result.readings],
        "fingerprint": result.fingerprint,
    }


def _record(conn: Connection, job_id: JobId, leases: Sequence[Lease], now: float | None) -> None:
    for batch in batches(leases):
        events.record(
            conn,
            job_id,
            ChunkVerb.COMMIT,
            ChunkState.LEASED,
            ChunkState.COMMITTED,
            idxs=[(lease.idx, lease.attempt) for lease in batch],
            worker=batch[0].worker,
            now=now,
        )
