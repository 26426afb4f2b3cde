"""The history: one row per transition, only ever added."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, and_, func, insert, or_, select

from millrace.db import tables
from millrace.db.now import db_now
from millrace.lifecycle.bulk import insert_rows
from millrace.lifecycle.transitions import ChunkVerb
from millrace.types import JobId, Json, WorkerId

_SETBACKS = (ChunkVerb.CRASH, ChunkVerb.REAP, ChunkVerb.DISOWN, ChunkVerb.REFUSE_MODEL)


@dataclass(frozen=True, slots=True)
class Event:
    """One transition. Without `idx` it is the job's, else that of its chunk `idx`."""

    id: int
    at: float
    job_id: JobId
    idx: int | None
    attempt: int | None
    verb: str
    from_state: str | None
    to_state: str
    worker: WorkerId | None
    detail: dict[str, Json] | None


def record(
    conn: Connection,
    job_id: JobId,
    verb: str,
    from_state: str | None,
    to_state: str,
    *,
    idxs: Iterable[tuple[int, int]] | None = None,
    worker: str | None = None,
    detail: Mapping[str, Json] | None = None,
    now: float | None = None,
) -> None:
    """Add one event for the job, or one for each pair (idx, attempt) of its chunks."""
    common: dict[str, object] = {
        "job_id": job_id,
        "verb": verb,
        "from_state": from_state,
        "to_state": to_state,
        "worker": worker,
        "detail": dict(detail) if detail else None,
        "at": db_now(now),
    }
    if idxs is None:
        conn.execute(insert(tables.event).values(common))
        return
    rows = [{"idx": idx, "attempt": attempt} for idx, attempt in idxs]
    insert_rows(conn, tables.event, rows, common)


def page(conn: Connection, job_id: JobId, *, after: int = 0, limit: int = 100) -> list[Event]:
    """The events of a job with an id greater than `after`, oldest first."""
    found = conn.execute(
        select(tables.event)
        .where(tables.event.c.job_id == job_id, tables.event.c.id > after)
        .order_by(tables.event.c.id)
        .limit(limit)
    )
    return [Event(**row) for row in found.mappings()]


def tail(conn: Connection, job_id: JobId, *, limit: int) -> list[Event]:
    """The last events of a job, oldest first."""
    event = tables.event
    found = select(event).where(event.c.job_id == job_id).order_by(event.c.id.desc()).limit(limit)
    return [Event(**row) for row in conn.execute(found).mappings()][::-1]


def feed(
    conn: Connection,
    *,
    after: int,
    limit: int,
    tenant: str | None = None,
    job_id: JobId | None = None,
    chunks: bool = True,
) -> list[Event]:
    """The events of all jobs with an id greater than `after`, oldest first.

    Those of one tenant, or of one job, where given; without `chunks`, only those of jobs
    themselves. Transactions that overlap may show an event
    later than one with a greater id.
    """
    event = tables.event
    found = select(event).where(event.c.id > after).order_by(event.c.id).limit(limit)
    if tenant is not None:
        found = found.join(tables.job, tables.job.c.id == event.c.job_id)
        found = found.where(tables.job.c.tenant == tenant)
    if job_id is not None:
        found = found.where(event.c.job_id == job_id)
    if not chunks:
        found = found.where(event.c.idx.is_(None))
    return [Event(**row) for row in conn.execute(found).mappings()]


def last(conn: Connection) -> int:
    """The id of the newest event there is; 0 for none."""
    return conn.scalar(select(func.max(tables.event.c.id))) or 0


def newest(conn: Connection, job_id: JobId) -> int:
    """The id of the job's last event; 0 for none."""
    last = select(func.max(tables.event.c.id)).where(tables.event.c.job_id == job_id)
    return conn.scalar(last) or 0


def setback(conn: Connection, job_id: JobId) -> Event | None:
    """The last time that a chunk came to nothing, unless one was committed since.

    That is a crash in any form, a refusal of the model, or a fault of the surroundings.
    """
    event = tables.event.c
    telling = or_(
        event.verb.in_([ChunkVerb.COMMIT, *_SETBACKS]),
        and_(event.verb == ChunkVerb.RELEASE, event.detail["infra"].as_boolean()),
    )
    row = conn.execute(
        select(tables.event)
        .where(event.job_id == job_id, telling)
        .order_by(event.id.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None or row.verb == ChunkVerb.COMMIT else Event(**row._mapping)
