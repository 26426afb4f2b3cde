"""How a job ended, for people and for programs."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from millrace.cli.console import readable
from millrace.cli.progress import duration
from millrace.db.now import db_now
from millrace.db.session import Database
from millrace.lifecycle import events, queries
from millrace.lifecycle.events import Event
from millrace.lifecycle.transitions import CHUNK_SETTLED, CLAIMABLE
from millrace.settings import Settings
from millrace.types import ChunkState, JobId, JobState

EXIT_CODES = {
    JobState.SUCCEEDED: 0,
    JobState.FAILED: 8,
    JobState.PARTIAL: 9,
    JobState.EXPIRED: 10,
    JobState.CANCELLED: 11,
}


def summary_of(database: Database, job_id: str) -> dict[str, Any]:
    """Everything about a job in one flat document; `NotFound` for an unknown id."""
    with database.read() as connection:
        job = queries.known_job(connection, JobId(job_id))
        progress = queries.progress(connection, job.id)
        setback = events.setback(connection, job.id) if job.state in CLAIMABLE else None
        waits = queries.waiting(connection, job.id)
        now: float = connection.scalar(select(db_now())) or 0.0
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
        "model": f"{job.spec.model.engine}:{job.spec.model.location}",
        "input": job.spec.input,
        "output": job.spec.output,
        "rows": done,
        "rows_ok": progress.rows_ok,
        "rows_err": progress.rows_err,
        "share": round(share, 4),
        "rows_per_second": round(done / elapsed, 1) if elapsed else None,
        "seconds_left": round(elapsed * (1 - share) / share) if elapsed and share else None,
        "chunks": {state.value: count for state, count in sorted(progress.chunks.items())},
        "created_at": _utc(job.created_at),
        "started_at": _utc(began),
        "finished_at": _utc(ended),
        "seconds": round(ended - began, 3) if began and ended else None,
        "retry_of": job.parent_id,
        "notes": list(job.plan_notes),
    }


def _utc(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _cause(setback: Event) -> str:
    """Why a chunk came to nothing, in the words of the verb that put it back."""
    told = setback.detail or {}
    if "code" in told:
        return f"{told['code']}: {told['message']}"
    return str(told.get("reason") or told.get("detail") or setback.verb)


def summary_text(summary: dict[str, Any], state: Path | None = None) -> str:
    """A few lines: what came out, where it is, what to look at next; `state` is the job's folder.

    The folder is named only where the commands would not look there by themselves.
    """
    output = readable(summary["output"])
    lines = [f"{summary['state']}: {_extent(summary)}"]
    if summary["seconds"] and summary["rows"]:
        rate = summary["rows"] / summary["seconds"]
        lines[0] += f" in {duration(summary['seconds'])} ({rate:,.0f} rows/s)"
    if summary["rows_ok"]:
        lines.append(f"results: {output}/parts, listed in _MANIFEST.json")
    if summary["rows_err"]:
        look = f"millrace jobs errors {summary['id']}{_state_option(state)}"
        lines.append(f"errors:  {summary['rows_err']:,} rows; {look}")
    return "\n".join(lines)


def _extent(summary: dict[str, Any]) -> str:
    """How much was done: in rows, or in blocks where no row is known."""
    if summary["rows"]:
        return f"{summary['rows_ok']:,} of {summary['rows']:,} rows"
    chunks = summary["chunks"]
    blocks = sum(chunks.values()) - chunks[ChunkState.SPLIT]
    done = sum(chunks[state] for state in CHUNK_SETTLED)
    return f"{done:,} of {blocks:,} blocks" if blocks else "before any block was planned"


def _state_option(state: Path | None) -> str:
    settings = Settings.load()
    usual = state == settings.state.absolute() and not settings.database_url
    return "" if state is None or usual else f" --state {shlex.quote(str(state))}"
