"""Verbs by which a job gets its plan: pinned inputs, then chunks, then the end of planning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from millrace.db import tables
from millrace.errors import Conflict
from millrace.lifecycle import kept
from millrace.lifecycle.bulk import insert_rows
from millrace.lifecycle.guards import forbidden, lock_job, move_job
from millrace.lifecycle.transitions import JobVerb
from millrace.types import ChunkKind, ChunkState, Input, JobId, JobState, PlannedChunk

_BATCH = 10_000
_BATCH_RUNS = 1_000_000


def pin(
    conn: Connection,
    job_id: JobId,
    inputs: Sequence[Input],
    arrow_schema: str,
    notes: Sequence[str] = (),
) -> None:
    """Fix what a validating job reads; replaces what an interrupted planner left behind.

    `inputs` stand one behind the other from position 0. Raises `Conflict` for a job that is not
    being planned (any more).
    """
    _hold_planning(conn, job_id)
    end = 0
    for each in inputs:
        if each.base != end:
            raise _broken(job_id, f"input {each.index} begins at {each.base}, not at {end}")
        end += each.extent
    conn.execute(delete(tables.chunk).where(tables.chunk.c.job_id == job_id))
    conn.execute(delete(tables.job_input).where(tables.job_input.c.job_id == job_id))
    if inputs:
        rows = [{"job_id": job_id, **asdict(each)} for each in inputs]
        conn.execute(insert(tables.job_input), rows)
    conn.execute(
        update(tables.job)
        .where(tables.job.c.id == job_id)
        .values(
            arrow_schema=arrow_schema,
            position_end=end,
            plan_notes=list(notes),
            weight_total=0,
            chunks_planned=0,
        )
    )


def add_chunks(conn: Connection, job_id: JobId, chunks: Iterable[PlannedChunk]) -> int:
    """Append chunks to the plan of a validating job and return how many; numbered as they come."""
    _hold_planning(conn, job_id)
    first = next_idx(conn, job_id)
    rows = (
        {
            "idx": idx,
            "start_pos": each.span.start,
            "end_pos": each.span.end,
            "weight": each.weight,
            "kept": kept.written(each.kept),
        }
        for idx, each in enumerate(chunks, first)
    )
    same = {"job_id": job_id, "kind": ChunkKind.INFER, "state": ChunkState.PENDING}
    added = weight = 0
    for batch in _batches(rows):
        insert_rows(conn, tables.chunk, batch, same)
        added += len(batch)
        weight += sum(row["weight"] for row in batch)
    job = tables.job.c
    conn.execute(
        update(tables.job)
        .where(job.id == job_id)
        .values(chunks_planned=job.chunks_planned + added, weight_total=job.weight_total + weight)
    )
    return added


def queue(conn: Connection, job_id: JobId, *, now: float | None = None) -> None:
    """validating → queued: the plan is complete, and nobody adds to it any more.

    Raises `Conflict` where the chunks do not tile ``[0, position_end)``.
    """
    state = lock_job(conn, job_id)
    if state is JobState.VALIDATING:
        _check_tiling(conn, job_id)
    if not move_job(conn, job_id, JobVerb.QUEUE, JobState.QUEUED, now=now, plan_complete=True):
        raise forbidden(job_id, JobVerb.QUEUE, state)


def next_idx(conn: Connection, job_id: JobId) -> int:
    """The first chunk number that is free; ours alone while we hold the job's lock."""
    highest = func.coalesce(func.max(tables.chunk.c.idx), -1)
    found = conn.scalar(select(highest + 1).where(tables.chunk.c.job_id == job_id))
    assert isinstance(found, int)
    return found


def _hold_planning(conn: Connection, job_id: JobId) -> None:
    state = lock_job(conn, job_id)
    if state is not JobState.VALIDATING:
        raise forbidden(job_id, JobVerb.QUEUE, state)


def _batches(rows: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """The rows in lots of bounded size, however much each chunk has to remember."""
    batch: list[dict[str, Any]] = []
    runs = 0
    for row in rows:
        batch.append(row)
        runs += len(row["kept"]["runs"]) if row["kept"] else 0
        if len(batch) >= _BATCH or runs >= _BATCH_RUNS:
            yield batch
            batch, runs = [], 0
    if batch:
        yield batch


def _check_tiling(conn: Connection, job_id: JobId) -> None:
    """Chunks meet end to end from 0 to the end of the inputs, and there is at least one."""
    chunk = tables.chunk.c
    before = func.lag(chunk.end_pos, 1, 0).over(order_by=chunk.start_pos)
    edges = (
        select(chunk.start_pos, chunk.end_pos, before.label("before"))
        .where(chunk.job_id == job_id)
        .subquery()
    )
    torn = conn.scalar(
        select(func.min(edges.c.start_pos)).where(edges.c.start_pos != edges.c.before)
    )
    end = conn.scalar(select(func.max(edges.c.end_pos)))
    planned = conn.scalar(select(tables.job.c.position_end).where(tables.job.c.id == job_id))
    if torn is not None:
        raise _broken(job_id, f"the chunk at position {torn} does not begin where another ends")
    if end != planned:
        raise _broken(job_id, f"the chunks end at {end}, the inputs at {planned}")


def _broken(job_id: JobId, fault: str) -> Conflict:
    return Conflict("PLAN_BROKEN", f"the plan of job {job_id} has a gap or an overlap: {fault}")
