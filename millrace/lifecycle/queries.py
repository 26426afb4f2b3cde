"""What anybody may ask: reads only, each in one statement per answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Connection, Row, Select, exists, func, select, true

from millrace.db import tables
from millrace.db.now import db_now
from millrace.lifecycle import kept, tally
from millrace.lifecycle.demand import backlog, due, next_rung, pools
from millrace.lifecycle.guards import among, has_open_chunk, has_pending_chunk, no_such_job
from millrace.lifecycle.roster import workers
from millrace.lifecycle.standstill import waiting
from millrace.lifecycle.stragglers import leases, pace
from millrace.lifecycle.transitions import CHUNK_SETTLED
from millrace.lifecycle.views import (
    Backlog,
    JobView,
    LeaseView,
    Progress,
    SettledChunk,
    WorkerView,
)
from millrace.spec import JobSpec
from millrace.types import ChunkKind, ChunkState, Input, JobId, JobState, Part, Reading, Span

__all__ = [
    "Backlog",
    "JobView",
    "LeaseView",
    "Progress",
    "SettledChunk",
    "WorkerView",
    "are_closing",
    "backlog",
    "due",
    "inputs",
    "job",
    "jobs",
    "jobs_in",
    "known_job",
    "leases",
    "newest_for_output",
    "next_rung",
    "pace",
    "pools",
    "progress",
    "ready_to_freeze",
    "settled_chunks",
    "waiting",
    "workers",
]

_STREAMED_ROWS = 1_000
_NOTHING = Progress(0, 0, 0, 0, 0, dict.fromkeys(ChunkState, 0))


def job(conn: Connection, job_id: JobId) -> JobView | None:
    """The job of this id, if there is one."""
    row = conn.execute(select(tables.job).where(tables.job.c.id == job_id)).one_or_none()
    return None if row is None else _job_view(row)


def known_job(conn: Connection, job_id: JobId, *, tenant: str | None = None) -> JobView:
    """The job of this id; `NotFound` where there is none, or where it is not of that tenant."""
    found = job(conn, job_id)
    if found is None or tenant not in (None, found.tenant):
        raise no_such_job(job_id)
    return found


def jobs(
    conn: Connection,
    *,
    limit: int,
    after: str | None = None,
    states: Iterable[JobState] = JobState,
    tenant: str | None = None,
    model: str | None = None,
) -> list[JobView]:
    """Jobs, newest first, `limit` at a time; `after` is the last id of the page before.

    Those of one tenant where `tenant` is given, and of the one `model` (ENGINE:LOCATION).
    """
    page = select(tables.job).order_by(tables.job.c.id.desc()).limit(limit)
    page = page.where(among(tables.job.c.state, states))
    if after is not None:
        page = page.where(tables.job.c.id < after)
    if tenant is not None:
        page = page.where(tables.job.c.tenant == tenant)
    if model is not None:
        page = page.where(tables.job.c.model == model)
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
    job, chunk = tables.job.c, tables.chunk.c
    leased = (
        select(
            func.count().label("chunks"),
            func.coalesce(func.sum(chunk.progress_rows), 0).label("rows"),
        )
        .where(
            chunk.job_id == job_id,
            among(chunk.state, [ChunkState.LEASED]),
            among(chunk.kind, [ChunkKind.INFER]),
        )
        .subquery()
    )
    kept = ("rows_ok", "rows_err", "weight_done", "committed", "dead", "split")
    row = conn.execute(
        select(
            *(tally.total(counter).label(counter) for counter in kept),
            tally.open_chunks().label("open"),
            *(job.weight_total, leased.c.chunks, leased.c.rows),
        )
        .select_from(tables.job)
        .join(leased, true())
        .outerjoin(tables.tally, tables.tally.c.job_id == job.id)
        .where(job.id == job_id)
        .group_by(job.id, leased.c.chunks, leased.c.rows)
    ).one_or_none()
    return _NOTHING if row is None else _progress(row)


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


def settled_chunks(
    conn: Connection, job_id: JobId, *, after: int = -1, limit: int | None = None
) -> Iterator[SettledChunk]:
    """The chunks that have come to their end, in input order, streamed.

    With `after` and `limit`, so many of those that start behind a position.
    """
    chunk = tables.chunk.c
    ended = (
        select(tables.chunk)
        .where(
            chunk.job_id == job_id,
            chunk.start_pos > after,
            among(chunk.kind, [ChunkKind.INFER]),
            among(chunk.state, CHUNK_SETTLED),
        )
        .order_by(chunk.start_pos)
        .limit(limit)
    )
    # Of this statement only: an option of the connection would stay for all that come after.
    found = conn.execute(ended, execution_options={"yield_per": _STREAMED_ROWS})
    return (_settled_chunk(row) for row in found)


def ready_to_freeze(conn: Connection) -> list[JobId]:
    """Running jobs with a complete plan of which no chunk is open any more."""
    found = select(tables.job.c.id).where(
        among(tables.job.c.state, [JobState.RUNNING]), tables.job.c.plan_complete, ~has_open_chunk()
    )
    return [JobId(each) for each in conn.execute(_by_urgency(found)).scalars()]


def are_closing(conn: Connection, within: float, *, now: float | None = None) -> bool:
    """Whether some running job waits only for chunks that were begun within so many seconds."""
    chunk = tables.chunk.c
    young = exists().where(
        chunk.job_id == tables.job.c.id,
        among(chunk.state, [ChunkState.LEASED]),
        chunk.leased_at > db_now(now) - within,
    )
    found = select(tables.job.c.id).where(
        among(tables.job.c.state, [JobState.RUNNING]), young, ~has_pending_chunk()
    )
    return conn.scalar(found.limit(1)) is not None


def _by_urgency(found: Select[Any]) -> Select[Any]:
    return found.order_by(tables.job.c.priority.desc(), tables.job.c.id)


def _progress(row: Row[*tuple[Any, ...]]) -> Progress:
    return Progress(
        rows_ok=int(row.rows_ok),
        rows_err=int(row.rows_err),
        rows_in_flight=int(row.rows),
        weight_done=int(row.weight_done),
        weight_total=row.weight_total,
        chunks={
            ChunkState.PENDING: int(row.open) - row.chunks,
            ChunkState.LEASED: row.chunks,
            ChunkState.COMMITTED: int(row.committed),
            ChunkState.SPLIT: int(row.split),
            ChunkState.DEAD: int(row.dead),
        },
    )


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
        readings=tuple(Reading(*each) for each in row.input_rows or ()),
        fingerprint=row.fingerprint or {},
        error_code=row.error_code,
        error_message=row.error_message,
        weight=row.weight,
        kept=kept.read(row.kept),
    )


def _part(path: str | None, rows: int, size: int, sha256: str) -> Part | None:
    return None if path is None else Part(path=path, rows=rows, bytes=size, sha256=sha256)
