"""How a verdict on an attempt that came to nothing is written down."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, assert_never

from sqlalchemy import ColumnElement, Connection, Row, and_, insert, or_, select, update

from millrace.db import tables
from millrace.db.now import db_now
from millrace.lifecycle import events, tally
from millrace.lifecycle.guards import LET_GO, stands, this, without
from millrace.lifecycle.planning import next_idx
from millrace.lifecycle.retry import Bury, Retry, Split, Verdict, backoff
from millrace.lifecycle.transitions import ChunkVerb
from millrace.types import ChunkKind, ChunkState, JobId, Json, Span


@dataclass(frozen=True, slots=True)
class Attempt:
    """The attempt that ended, as the chunk's row says."""

    job_id: JobId
    idx: int
    kind: ChunkKind
    span: Span
    weight: int
    crash_count: int
    attempt: int
    token: str
    worker: str
    as_twin: bool
    goes_on: str | None
    """The token of the other one of a chunk with a twin, who still works on it."""
    companion: str | None
    """The token of the twin, if there is any."""
    kept: dict[str, Any] | None
    """What it keeps of an earlier job, as its row holds it."""

    @classmethod
    def of(cls, row: Row[Any], token: str, *, for_both: bool = False) -> Attempt:
        """The attempt under `token`; `for_both` where the other one has ended with it."""
        as_twin = token == row.twin_token
        other = row.token if as_twin else row.twin_token
        return cls(
            job_id=JobId(row.job_id),
            idx=row.idx,
            kind=ChunkKind(row.kind),
            span=Span(row.start_pos, row.end_pos),
            weight=row.weight,
            crash_count=row.crash_count,
            attempt=row.attempt,
            token=token,
            worker=row.twin_owner if as_twin else row.owner,
            as_twin=as_twin,
            goes_on=None if for_both else other,
            companion=row.twin_token,
            kept=row.kept,
        )

    def current(self) -> ColumnElement[bool]:
        """The chunk, only while this attempt, and its twin if it has one, are as they were."""
        chunk = tables.chunk.c
        return and_(
            this(self.job_id, self.idx),
            stands(ChunkState.LEASED),
            chunk.attempt == self.attempt,
            or_(chunk.token == self.token, chunk.twin_token == self.token),
            chunk.twin_token.is_not_distinct_from(self.companion),
        )


def carry_out(
    conn: Connection,
    verdict: Verdict | None,
    ended: Attempt,
    verb: ChunkVerb,
    suspects: Sequence[int],
    detail: str,
    now: float | None,
    *guards: ColumnElement[bool],
) -> bool:
    """Move the chunk as the verdict says and record it; false where the attempt is not current.

    Without a verdict one more attempt is lost to the surroundings.
    """
    target, values = _consequence(conn, verdict, ended, suspects, detail, now)
    if ended.goes_on:
        target, left = ChunkState.LEASED, without(ended.token)
    else:
        left = {**LET_GO, "state": target}
    changed = conn.execute(
        update(tables.chunk).where(ended.current(), *guards).values(**left, **values)
    ).rowcount
    if not changed:
        return False
    noted: dict[str, Json] = {"detail": detail}
    match verdict:
        case Split():
            noted["children"] = [*_add_children(conn, verdict, ended, suspects)]
            tally.add(conn, ended.job_id, ended.idx, split=1, added=len(verdict.spans))
        case Bury():
            tally.add(conn, ended.job_id, ended.idx, dead=1, rows_err=1, weight_done=ended.weight)
        case Retry() | None:
            pass
        case never:
            assert_never(never)
    _record(conn, ended, verb, target, noted, now)
    return True


def _record(
    conn: Connection,
    ended: Attempt,
    verb: ChunkVerb,
    target: ChunkState,
    noted: dict[str, Json],
    now: float | None,
) -> None:
    events.record(
        conn,
        ended.job_id,
        verb,
        ChunkState.LEASED,
        target,
        idxs=[(ended.idx, ended.attempt)],
        worker=ended.worker,
        detail=noted,
        now=now,
    )


def _consequence(
    conn: Connection,
    verdict: Verdict | None,
    ended: Attempt,
    suspects: Sequence[int],
    detail: str,
    now: float | None,
) -> tuple[ChunkState, dict[str, Any]]:
    crashes = ended.crash_count + 1
    match verdict:
        case None:
            return ChunkState.PENDING, {"lost_count": tables.chunk.c.lost_count + 1}
        case Retry():
            wait = db_now(now) + backoff(crashes, random.random())
            values: dict[str, Any] = {"crash_count": crashes, "not_before": wait}
            return ChunkState.PENDING, values | ({"suspects": [*suspects]} if suspects else {})
        case Split():
            return ChunkState.SPLIT, {"crash_count": crashes, "finished_at": db_now(now)}
        case Bury():
            return ChunkState.DEAD, {
                "crash_count": crashes,
                "finished_at": db_now(now),
                "rows_ok": 0,
                "rows_err": 1,
                "input_rows": [_buried(conn, ended)],
                "error_code": "WORKER_CRASHED",
                "error_message": f"the process died {crashes} times on this row alone: {detail}",
            }
        case never:
            assert_never(never)


def _add_children(
    conn: Connection, verdict: Split, ended: Attempt, suspects: Sequence[int]
) -> list[int]:
    first = next_idx(conn, ended.job_id)
    start, length = ended.span.start, ended.span.length
    rows = [
        {
            "job_id": ended.job_id,
            "idx": idx,
            "kind": ended.kind,
            "state": ChunkState.PENDING,
            "start_pos": span.start,
            "end_pos": span.end,
            "parent_idx": ended.idx,
            # Rounded at the borders, so that the weights add up to the parent's.
            "weight": ended.weight * (span.end - start) // length
            - ended.weight * (span.start - start) // length,
            "suspects": [each for each in suspects if span.start <= each < span.end] or None,
            "kept": ended.kept,
        }
        for idx, span in enumerate(verdict.spans, first)
    ]
    conn.execute(insert(tables.chunk), rows)
    return [idx for idx, _ in enumerate(rows, first)]


def _buried(conn: Connection, ended: Attempt) -> list[int | None]:
    """The `Reading` of a row at a known place, which nobody can read to its end."""
    places = tables.job_input.c
    row = conn.execute(
        select(places.index, places.base).where(
            places.job_id == ended.job_id,
            places.base <= ended.span.start,
            places.base + places.extent > ended.span.start,
        )
    ).one()
    return [row.index, 1, ended.span.start - row.base, None]
