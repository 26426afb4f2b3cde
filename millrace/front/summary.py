"""Everything about a job in one document, for people and for programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, select

from millrace.db.now import db_now
from millrace.db.session import Database
from millrace.lifecycle import events, queries
from millrace.lifecycle.events import Event
from millrace.lifecycle.queries import JobView
from millrace.lifecycle.transitions import CLAIMABLE
from millrace.types import JobId, JobState


def summary_of(database: Database, job_id: str) -> dict[str, Any]:
    """Everything about a job in one flat document; `NotFound` for an unknown id."""
    with database.read() as connection:
        return summarised(connection, queries.known_job(connection, JobId(job_id)))


def summarised(conn: Connection, job: JobView) -> dict[str, Any]:
    """The same of a job that was looked up already."""
    progress = queries.progress(conn, job.id)
    setback = events.setback(conn, job.id) if job.state in CLAIMABLE else None
    waits = queries.waiting(conn, job.id)
    now: float = conn.scalar(select(db_now())) or 0.0
    done = progress.rows_ok + progress.rows_err
    share = progress.weight_done / progress.weight_total if progress.weight_total else 0.0
    began, ended = job.started_at, job.finished_at
    elapsed = now - began if began and job.state is JobState.RUNNING else 0.0
    return {
        "id": job.id,
        "tenant": job.tenant,
        "pool": job.pool,
        "priority": job.priority,
        "state": job.state.value,
        "reason_code": job.reason_code or None,
        "reason": job.reason or None,
        "waits_for": waits or None,
        "last_setback": setback and _cause(setback),
        "model": job.model or job.spec.model.reference,
        "input": job.spec.input,
        "output": job.spec.output,
        "rows": done,
        "rows_ok": progress.rows_ok,
        "rows_err": progress.rows_err,
        "rows_in_flight": progress.rows_in_flight,
        "share": round(share, 4),
        "rows_per_second": round(done / elapsed, 1) if elapsed else None,
        "seconds_left": round(elapsed * (1 - share) / share) if elapsed and share else None,
        "chunks": {state.value: count for state, count in sorted(progress.chunks.items())},
        "created_at": utc(job.created_at),
        "started_at": utc(began),
        "finished_at": utc(ended),
        "seconds": round(ended - began, 3) if began and ended else None,
        "retry_of": job.parent_id,
        "webhook": job.webhook,
        "notes": list(job.plan_notes),
    }


def utc(at: float | None) -> str | None:
    """A time of the database as ISO 8601."""
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _cause(setback: Event) -> str:
    """Why a chunk came to nothing, in the words of the verb that put it back."""
    told = setback.detail or {}
    if "code" in told:
        return f"{told['code']}: {told['message']}"
    return str(told.get("reason") or told.get("detail") or setback.verb)
