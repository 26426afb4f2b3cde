"""One line to get a job, a lease or a whole situation; all of it through the verbs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Row, select

from millrace.db import tables
from millrace.db.session import Database
from millrace.lifecycle import chunks, events, jobs
from millrace.spec import JobSpec, ModelRef
from millrace.types import (
    ChunkResult,
    Input,
    JobId,
    JobState,
    Join,
    Lease,
    Part,
    PlannedChunk,
    Reading,
    Span,
    WorkerId,
)

A = WorkerId("worker-a")
B = WorkerId("worker-b")
NOW = 1_000_000.0
TTL = 60.0
LATER = NOW + TTL + 1
MUCH_LATER = NOW + 1_000.0


def spec(output: str = "file:///out", **changes: Any) -> JobSpec:
    base: dict[str, Any] = {
        "model": ModelRef(engine="echo", location="echo", sha256="ab" * 32),
        "input": "file:///in",
        "output": output,
        "output_format": "jsonl",
        "join": Join.NONE,
    }
    return JobSpec(**base | changes)


def submitted(conn: Connection, output: str = "file:///out", **changes: Any) -> JobId:
    return jobs.submit(conn, spec(output, **changes), now=NOW)


def pinned(extent: int) -> list[Input]:
    """One input of so many positions."""
    return [Input(0, "file:///in", "jsonl", extent, "v1", 0, extent, True)]


def planned(conn: Connection, job_id: JobId, *borders: int) -> None:
    """Pin one input and cut it at `borders`, from 0 to the last one."""
    jobs.pin(conn, job_id, pinned(borders[-1]), "schema", ["a note"])
    edges = zip((0, *borders), borders, strict=False)
    jobs.add_chunks(conn, job_id, [PlannedChunk(Span(a, b), b - a) for a, b in edges])
    jobs.queue(conn, job_id, now=NOW)


def running(conn: Connection, *borders: int, output: str = "file:///out") -> JobId:
    """A running job of chunks between 0 and each of `borders` (one of ten rows by default)."""
    job_id = submitted(conn, output)
    planned(conn, job_id, *(borders or (10,)))
    assert jobs.start(conn, job_id, now=NOW)
    return job_id


def claimed(
    conn: Connection, job_id: JobId, idx: int = 0, worker: WorkerId = A, now: float = NOW
) -> Lease:
    lease = chunks.claim(conn, job_id, idx, worker, TTL, now=now)
    assert lease is not None
    return lease


def result(rows_ok: int = 10, rows_err: int = 0) -> ChunkResult:
    return ChunkResult(
        rows_ok=rows_ok,
        rows_err=rows_err,
        part=Part("parts/0.jsonl", rows_ok, 100, "cd" * 32),
        error_part=Part("errors/0.jsonl", rows_err, 9, "ef" * 32) if rows_err else None,
        readings=(Reading(0, rows_ok + rows_err, 0, 10),),
        fingerprint={"engine": "echo"},
    )


def finalizing(conn: Connection, rows_err: int = 0, output: str = "file:///out") -> JobId:
    job_id = running(conn, output=output)
    chunks.commit(conn, claimed(conn, job_id), result(10 - rows_err, rows_err), now=NOW)
    assert jobs.freeze(conn, job_id, now=NOW)
    return job_id


def in_state(conn: Connection, state: JobState) -> JobId:
    """A job in any state there is. Its deadline is a second after `NOW`."""
    if state is JobState.FINALIZING or state in (JobState.SUCCEEDED, JobState.PARTIAL):
        job_id = finalizing(conn, rows_err=int(state is JobState.PARTIAL))
        if state is not JobState.FINALIZING:
            jobs.publish(conn, claimed(conn, job_id, 1), "00" * 32, now=NOW)
        return job_id
    job_id = submitted(conn, deadline_seconds=1.0)
    for step in _STEPS[state]:
        step(conn, job_id)
    return job_id


Step = Callable[[Connection, JobId], object]


def _plan(conn: Connection, job_id: JobId) -> None:
    planned(conn, job_id, 10)


def _expire(conn: Connection, job_id: JobId) -> None:
    assert jobs.expire(conn, job_id, now=NOW + 1)


def _fail(conn: Connection, job_id: JobId) -> None:
    assert jobs.fail(conn, job_id, "BROKEN", "it is broken", now=NOW)


_STARTED: list[Step] = [_plan, jobs.start]
_STEPS: dict[JobState, list[Step]] = {
    JobState.VALIDATING: [],
    JobState.QUEUED: [_plan],
    JobState.RUNNING: _STARTED,
    JobState.PAUSED: [*_STARTED, jobs.pause],
    JobState.FAILED: [*_STARTED, _fail],
    JobState.EXPIRED: [*_STARTED, _expire],
    JobState.CANCELLING: [*_STARTED, jobs.cancel],
    JobState.CANCELLED: [*_STARTED, jobs.cancel, jobs.close_cancelled],
}


def job_row(database: Database, job_id: JobId) -> Row[Any]:
    with database.read() as conn:
        return conn.execute(select(tables.job).where(tables.job.c.id == job_id)).one()


def chunk_row(database: Database, job_id: JobId, idx: int = 0) -> Row[Any]:
    chunk = tables.chunk.c
    with database.read() as conn:
        return conn.execute(
            select(tables.chunk).where(chunk.job_id == job_id, chunk.idx == idx)
        ).one()


def history(database: Database, job_id: JobId, idx: int | None = None) -> list[tuple[str, ...]]:
    """Triples (verb, from, to) of the job, or of its chunk `idx`."""
    with database.read() as conn:
        found = events.page(conn, job_id, limit=10_000)
    return [(each.verb, each.from_state or "", each.to_state) for each in found if each.idx == idx]
