"""Why a job does not move, in one sentence for people."""

from __future__ import annotations

from math import ceil
from typing import assert_never

from sqlalchemy import ColumnElement, Connection, func, select

from millrace.db import tables
from millrace.db.now import db_now
from millrace.lifecycle.guards import among
from millrace.lifecycle.roster import workers
from millrace.types import ChunkState, JobId, JobState

LIVE_SECONDS = 60.0
"""A worker that was not seen for so long is not counted on."""


def waiting(conn: Connection, job_id: JobId, *, now: float | None = None) -> str:
    """What the job waits for; empty where it moves, has ended, or is not known."""
    job = conn.execute(
        select(tables.job.c.state, tables.job.c.pool).where(tables.job.c.id == job_id)
    ).one_or_none()
    if job is None:
        return ""
    match JobState(job.state):
        case JobState.VALIDATING:
            return "it is being planned"
        case JobState.QUEUED:
            return "a scheduler has to start it"
        case JobState.PAUSED:
            return f"it is paused: millrace jobs resume {job_id}"
        case JobState.CANCELLING:
            return "workers still have to let go of its chunks"
        case JobState.RUNNING | JobState.FINALIZING:
            return _idle(conn, job_id, job.pool, now)
        case (
            JobState.SUCCEEDED
            | JobState.PARTIAL
            | JobState.FAILED
            | JobState.EXPIRED
            | JobState.CANCELLED
        ):
            return ""
        case never:
            assert_never(never)


def _idle(conn: Connection, job_id: JobId, pool: str, now: float | None) -> str:
    of_job = tables.chunk.c.job_id == job_id
    if _any(conn, of_job, _in(ChunkState.LEASED)) or not _any(
        conn, of_job, _in(ChunkState.PENDING)
    ):
        return ""
    live = [
        worker
        for worker in workers(conn, seen_within=LIVE_SECONDS, now=now)
        if worker.pool == pool and not worker.draining
    ]
    if not live:
        return f"no worker of pool {pool!r} is alive: millrace worker --pool {pool}"
    until = _backs_off(conn, of_job, now)
    if until is not None:
        return f"after failures its chunks are tried again in {ceil(until)} s"
    busy = _others_at_work(conn, job_id, pool)
    if busy:
        jobs = "another job" if busy == 1 else f"{busy} other jobs"
        return f"the workers of pool {pool!r} are busy with {jobs}"
    return f"a worker of pool {pool!r} has to begin"


def _in(state: ChunkState) -> ColumnElement[bool]:
    return among(tables.chunk.c.state, [state])


def _any(conn: Connection, *which: ColumnElement[bool]) -> bool:
    return conn.execute(select(tables.chunk.c.idx).where(*which).limit(1)).first() is not None


def _backs_off(conn: Connection, of_job: ColumnElement[bool], now: float | None) -> float | None:
    """Seconds until the first pending chunk may be claimed; None where one may be now."""
    chunk, pending = tables.chunk.c, _in(ChunkState.PENDING)
    if _any(conn, of_job, pending, chunk.not_before <= db_now(now)):
        return None
    soonest = select(func.min(chunk.not_before) - db_now(now)).where(of_job, pending)
    return conn.scalar(soonest)


def _others_at_work(conn: Connection, job_id: JobId, pool: str) -> int:
    chunk, job = tables.chunk.c, tables.job.c
    others = (
        select(func.count(chunk.job_id.distinct()))
        .join(tables.job, job.id == chunk.job_id)
        .where(_in(ChunkState.LEASED), job.pool == pool, job.id != job_id)
    )
    return conn.scalar(others) or 0
