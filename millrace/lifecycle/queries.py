"""What anybody may ask: reads only, each in one statement per answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, Row, Select, exists, func, or_, select

from millrace.db import tables
from millrace.db.now import db_now
from millrace.lifecycle.guards import among, no_such_job
from millrace.lifecycle.transitions import CHUNK_SETTLED, CLAIMABLE
from millrace.lifecycle.views import JobView, Progress, SettledChunk
from millrace.spec import JobSpec
from millrace.types import ChunkKind, ChunkState, Input, JobId, JobState, Part, Span

__all__ = [
    "JobView",
    "Progress",
    "SettledChunk",
    "due",
    "inputs",
    "job",
    "jobs",
    "jobs_in",
    "known_job",
    "newest_for_output",
    "progress",
    "ready_to_freeze",
    "rung",
    "settled_chunks",
]

_STREAMED_ROWS = 1_000


def job(conn: Connection, job_id: JobId) -> JobView | None:
    """The job of this id, if there is one."""
    row = conn.execute(select(tables.job).where(tables.job.c.id == job_id)).one_or_none()
    return None if row is None else _job_view(row)


def known_job(conn: Connection, job_id: JobId) -> JobView:
    """The job of this id; `NotFound` where there is none."""
    found = job(conn, job_id)
    if found is None:
        raise no_such_job(job_id)
    return found


def jobs(conn: Connection, *, limit: int, after: str | None = None) -> list[JobView]:
    """Jobs, newest first, `limit` at a time; `after` is the last id of the page before."""
    page = select(tables.job).order_by(tables.job.c.id.desc()).limit(limit)
    if after is not None:
        page = page.where(tables.job.c.id < after)
    return [_job_view(row) for row in conn.execute(page)]


def jobs_in(conn: Connection, states: Iterable[JobState]) -> list[JobView]:
    """All jobs in one of these states, the most urgent first."""
    found = _by_urgency(select(tables.job).where(among(tables.job.c.state, states)))
    return [_job_view(row) for row in conn.execute(found)]


def newest_for_output(conn: Connection, output_uri: str) -> JobView | None:
    """The last job that was asked to write there, whatever became of it."""
    row = conn.execute(
        select(tables.job)
        .where(tables.job.c.output_uri == output_uri)
        .order_by(tables.job.c.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else _job_view(row)


def progress(conn: Connection, job_id: JobId) -> Progress:
    """How far the job is; all zero where nothing is planned."""
    chunk = tables.chunk.c
    by_state = conn.execute(
        select(
            chunk.state,
            func.count().label("chunks"),
            func.coalesce(func.sum(chunk.rows_ok), 0).label("rows_ok"),
            func.coalesce(func.sum(chunk.rows_err), 0).label("rows_err"),
            func.sum(chunk.progress_rows).label("in_flight"),
            func.sum(chunk.weight).label("weight"),
        )
        .where(chunk.job_id == job_id, among(chunk.kind, [ChunkKind.INFER]))
        .group_by(chunk.state)
    ).all()
    rows = {ChunkState(row.state): row for row in by_state}
    weights: dict[ChunkState, int] = {
        state: int(row.weight) for state, row in rows.items() if state != ChunkState.SPLIT
    }
    return Progress(
        rows_ok=sum(int(row.rows_ok) for row in by_state),
        rows_err=sum(int(row.rows_err) for row in by_state),
        rows_in_flight=sum(int(row.in_flight) for row in by_state),
        weight_done=sum(weights.get(state, 0) for state in CHUNK_SETTLED),
        weight_total=sum(weights.values()),
        chunks={state: rows[state].chunks if state in rows else 0 for state in ChunkState},
    )


def inputs(conn: Connection, job_id: JobId, span: Span | None = None) -> tuple[Input, ...]:
    """The pinned inputs in order; with `span`, those of which some position lies inside."""
    place = tables.job_input.c
    found = select(tables.job_input).where(place.job_id == job_id).order_by(place.index)
    if span is not None:
        overlaps = (place.base < span.end, place.base + place.extent > span.start)
        found = found.where(place.extent > 0, *overlaps)
    return tuple(
        Input(
            index=row.index,
            uri=row.uri,
            format=row.format,
            size=row.size,
            version=row.version,
            base=row.base,
            extent=row.extent,
            divisible=row.divisible,
        )
        for row in conn.execute(found).mappings()
    )


def settled_chunks(conn: Connection, job_id: JobId) -> Iterator[SettledChunk]:
    """The chunks that have come to their end, in input order, streamed."""
    chunk = tables.chunk.c
    found = conn.execution_options(yield_per=_STREAMED_ROWS).execute(
        select(tables.chunk)
        .where(
            chunk.job_id == job_id,
            among(chunk.kind, [ChunkKind.INFER]),
            among(chunk.state, CHUNK_SETTLED),
        )
        .order_by(chunk.start_pos)
    )
    return (_settled_chunk(row) for row in found)


def due(
    conn: Connection,
    *,
    limit: int,
    job_id: JobId | None = None,
    rung_before: float | None = None,
    now: float | None = None,
) -> list[tuple[JobId, int]]:
    """At most `limit` chunks that could be claimed now, the most urgent first.

    With `rung_before`, only those that nobody was told of since that time.
    """
    live = select(tables.job.c.id, tables.job.c.state).where(among(tables.job.c.state, CLAIMABLE))
    if job_id is not None:
        live = live.where(tables.job.c.id == job_id)
    found: list[tuple[JobId, int]] = []
    # Job by job, so that the index on (job, place) gives the first few without sorting millions.
    for row in conn.execute(_by_urgency(live)).all():
        if len(found) >= limit:
            break
        kind = CLAIMABLE[JobState(row.state)]
        rows = conn.execute(_due_of(row.id, kind, limit - len(found), rung_before, now))
        found += [(JobId(row.id), idx) for idx in rows.scalars()]
    return found


def rung(conn: Connection, *, since: float, job_id: JobId | None = None) -> int:
    """How many pending chunks workers were told of since then, and have not begun."""
    chunk = tables.chunk.c
    told = select(func.count()).where(
        among(chunk.state, [ChunkState.PENDING]), chunk.rung_at.is_not(None), chunk.rung_at >= since
    )
    if job_id is not None:
        told = told.where(chunk.job_id == job_id)
    return conn.scalar(told) or 0


def ready_to_freeze(conn: Connection) -> list[JobId]:
    """Running jobs with a complete plan of which no chunk is open any more."""
    open_chunk = exists().where(
        tables.chunk.c.job_id == tables.job.c.id,
        among(tables.chunk.c.kind, [ChunkKind.INFER]),
        among(tables.chunk.c.state, [ChunkState.PENDING, ChunkState.LEASED]),
    )
    found = select(tables.job.c.id).where(
        among(tables.job.c.state, [JobState.RUNNING]), tables.job.c.plan_complete, ~open_chunk
    )
    return [JobId(each) for each in conn.execute(_by_urgency(found)).scalars()]


def _due_of(
    job_id: str, kind: ChunkKind, limit: int, rung_before: float | None, now: float | None
) -> Select[Any]:
    chunk = tables.chunk.c
    found = select(chunk.idx).where(
        chunk.job_id == job_id,
        among(chunk.state, [ChunkState.PENDING]),
        among(chunk.kind, [kind]),
        chunk.not_before <= db_now(now),
    )
    if rung_before is not None:
        found = found.where(or_(chunk.rung_at.is_(None), chunk.rung_at < rung_before))
    return found.order_by(chunk.start_pos).limit(limit)


def _by_urgency(found: Select[Any]) -> Select[Any]:
    return found.order_by(tables.job.c.priority.desc(), tables.job.c.id)


def _job_view(row: Row[Any]) -> JobView:
    values = dict(row._mapping)
    return JobView(
        **values
        | {
            "state": JobState(row.state),
            "spec": JobSpec.model_validate_json(row.spec),
            "plan_notes": tuple(row.plan_notes or ()),
        }
    )


def _settled_chunk(row: Row[Any]) -> SettledChunk:
    return SettledChunk(
        idx=row.idx,
        span=Span(row.start_pos, row.end_pos),
        state=ChunkState(row.state),
        attempt=row.attempt,
        rows_ok=row.rows_ok,
        rows_err=row.rows_err,
        part=_part(row.part_path, row.rows_ok, row.part_bytes, row.part_sha256),
        error_part=_part(row.error_path, row.error_rows, row.error_bytes, row.error_sha256),
        input_rows=tuple((index, rows) for index, rows in row.input_rows or ()),
        fingerprint=row.fingerprint or {},
        error_code=row.error_code,
        error_message=row.error_message,
    )


def _part(path: str | None, rows: int, size: int, sha256: str) -> Part | None:
    return None if path is None else Part(path=path, rows=rows, bytes=size, sha256=sha256)
