"""How much of everything there is, for those who watch over all jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from millrace.db import tables
from millrace.lifecycle.guards import among
from millrace.lifecycle.roster import workers
from millrace.lifecycle.standstill import LIVE_SECONDS
from millrace.types import ChunkKind, ChunkState, JobState


@dataclass(frozen=True, slots=True)
class PoolCount:
    """The work of one pool, and who is there for it."""

    leased: int
    waiting: int
    """Pending chunks of running jobs."""
    workers: int


@dataclass(frozen=True, slots=True)
class Census:
    """One snapshot; every state is there, if only with 0."""

    jobs: Mapping[JobState, int]
    chunks: Mapping[ChunkState, int]
    rows: Mapping[tuple[str, str], int]
    """By ``ok`` or ``err`` and the model."""
    pools: Mapping[str, PoolCount]


def census(conn: Connection, *, now: float | None = None) -> Census:
    """Count by kept sums: its cost grows with the number of jobs, not with their chunks."""
    jobs, chunks, rows = Counter[JobState](), Counter[ChunkState](), Counter[tuple[str, str]]()
    waiting = Counter[str]()
    leased = _leased(conn)
    for row in conn.execute(_SUMS):
        state = JobState(row.state)
        jobs[state] += row.jobs
        for ended in (ChunkState.COMMITTED, ChunkState.DEAD, ChunkState.SPLIT):
            chunks[ended] += int(row._mapping[ended.value])
        rows["ok", row.model] += int(row.rows_ok)
        rows["err", row.model] += int(row.rows_err)
        still_open = int(row.planned - row.committed - row.dead - row.split)
        chunks[ChunkState.PENDING] += still_open
        if state is JobState.RUNNING:
            waiting[row.pool] += still_open
    chunks[ChunkState.LEASED] = sum(leased.values())
    chunks[ChunkState.PENDING] -= chunks[ChunkState.LEASED]
    alive = Counter(each.pool for each in workers(conn, seen_within=LIVE_SECONDS, now=now))
    names = sorted(waiting.keys() | leased.keys() | alive.keys())
    return Census(
        jobs={state: jobs[state] for state in JobState},
        chunks={state: chunks[state] for state in ChunkState},
        rows=rows,
        pools={
            name: PoolCount(leased[name], max(0, waiting[name] - leased[name]), alive[name])
            for name in names
        },
    )


def _leased(conn: Connection) -> Counter[str]:
    chunk, job = tables.chunk.c, tables.job.c
    found = (
        select(job.pool, func.count().label("chunks"))
        .join_from(tables.chunk, tables.job, job.id == chunk.job_id)
        .where(among(chunk.state, [ChunkState.LEASED]), among(chunk.kind, [ChunkKind.INFER]))
        .group_by(job.pool)
    )
    return Counter({row.pool: row.chunks for row in conn.execute(found)})


_COUNTERS = ("committed", "dead", "split", "added", "rows_ok", "rows_err")
_OF_JOB = (
    select(
        tables.tally.c.job_id,
        *(func.sum(tables.tally.c[name]).label(name) for name in _COUNTERS),
    )
    .group_by(tables.tally.c.job_id)
    .subquery()
)
_SUMS = (
    select(
        tables.job.c.state,
        tables.job.c.pool,
        tables.job.c.model,
        func.count().label("jobs"),
        func.sum(tables.job.c.chunks_planned + func.coalesce(_OF_JOB.c.added, 0)).label("planned"),
        *(
            func.coalesce(func.sum(_OF_JOB.c[name]), 0).label(name)
            for name in _COUNTERS
            if name != "added"
        ),
    )
    .select_from(tables.job)
    .outerjoin(_OF_JOB, _OF_JOB.c.job_id == tables.job.c.id)
    .group_by(tables.job.c.state, tables.job.c.pool, tables.job.c.model)
)
