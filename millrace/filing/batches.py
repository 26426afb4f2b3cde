"""Verbs and questions on batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from millrace.db import filing_tables
from millrace.db.now import db_now
from millrace.errors import NotFound
from millrace.types import JobId, Json


class Outcome(StrEnum):
    COMPLETED = "completed"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with a batch; `line` counts from 1 in its input file."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch as it is handed in; without a job it has failed already, for its faults."""

    id: str
    tenant: str
    endpoint: str
    input_file_id: str
    completion_window: str
    labels: Mapping[str, str] | None
    model: str | None
    job_id: JobId | None
    requests: int
    rows: int
    """Inputs of all requests together: the rows of the job."""
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """How a batch has ended: the counts of its requests and the files they are in."""

    outcome: Outcome
    requests_ok: int = 0
    requests_err: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchView(NewBatch):
    """One batch as it stands; times in seconds since the epoch."""

    created_at: float = 0.0
    expires_at: float = 0.0
    cancelling_at: float | None = None
    ended_at: float | None = None
    outcome: Outcome | None = None
    """None until its files are written."""
    requests_ok: int | None = None
    requests_err: int | None = None
    output_file_id: str | None = None
    error_file_id: str | None = None


def add(conn: Connection, new: NewBatch, *, window: float, now: float | None = None) -> BatchView:
    """List a batch that has `window` seconds from now on; one without a job has failed."""
    ended = {} if new.job_id else {"outcome": Outcome.FAILED, "ended_at": db_now(now)}
    times = {"created_at": db_now(now), "expires_at": db_now(now) + window}
    conn.execute(insert(filing_tables.batch).values(_row(new) | times | ended))
    return known(conn, new.id, tenant=new.tenant)


def note_cancelling(conn: Connection, batch_id: str, *, now: float | None = None) -> None:
    """Remember when somebody first asked for its end."""
    batch = filing_tables.batch
    first = (batch.c.id == batch_id, batch.c.cancelling_at.is_(None))
    conn.execute(update(batch).where(*first).values(cancelling_at=db_now(now)))


def end(conn: Connection, batch_id: str, ending: Ending, *, now: float | None = None) -> bool:
    """Say how a batch has ended; false where that was said before, which then counts."""
    batch = filing_tables.batch
    is_open = (batch.c.id == batch_id, batch.c.outcome.is_(None))
    values = _row(ending) | {"ended_at": db_now(now)}
    return bool(conn.execute(update(batch).where(*is_open).values(values)).rowcount)


def known(conn: Connection, batch_id: str, *, tenant: str | None) -> BatchView:
    """The batch of this id; `NotFound` where there is none, or where it is not of that tenant."""
    batch = filing_tables.batch
    row = conn.execute(select(batch).where(batch.c.id == batch_id)).one_or_none()
    if row is None or tenant not in (None, row.tenant):
        raise no_such_batch(batch_id)
    return _view(row)


def page(
    conn: Connection, *, tenant: str | None, limit: int, after: str | None = None
) -> list[BatchView]:
    """Batches of one tenant, or all, newest first, `limit` at a time."""
    batch = filing_tables.batch
    found = select(batch).order_by(batch.c.id.desc()).limit(limit)
    if after is not None:
        found = found.where(batch.c.id < after)
    if tenant is not None:
        found = found.where(batch.c.tenant == tenant)
    return [_view(row) for row in conn.execute(found)]


def no_such_batch(batch_id: str) -> NotFound:
    """The answer to an id that no batch has."""
    return NotFound(
        "BATCH_NOT_FOUND", f"there is no batch {batch_id!r}", "GET /v1/batches lists yours"
    )


def _row(values: NewBatch | Ending) -> dict[str, Any]:
    row: dict[str, Any] = asdict(values)
    faults: list[Json] = [*row["faults"]]
    return row | {"faults": faults or None}


def _view(row: Row[Any]) -> BatchView:
    return BatchView(
        **dict(row._mapping)
        | {
            "job_id": row.job_id and JobId(row.job_id),
            "faults": tuple(Fault(**each) for each in row.faults or ()),
            "outcome": row.outcome and Outcome(row.outcome),
        }
    )
