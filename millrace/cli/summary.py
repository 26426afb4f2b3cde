"""How a job ended, for people and for programs."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from millrace.cli.console import readable
from millrace.cli.progress import duration
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
    done = progress.rows_ok + progress.rows_err
    began, ended = job.started_at, job.finished_at
    return {
        "id": job.id,
        "state": job.state.value,
        "reason_code": job.reason_code or None,
        "reason": job.reason or None,
        "waits_for": setback and _cause(setback),
        "model": f"{job.spec.model.engine}:{job.spec.model.location}",
        "input": job.spec.input,
        "output": job.spec.output,
        "rows": done,
        "rows_ok": progress.rows_ok,
        "rows_err": progress.rows_err,
        "share": round(progress.weight_done / progress.weight_total, 4)
        if progress.weight_total
        else 0.0,
        "chunks": {state.value: count for state, count in sorted(progress.chunks.items())},
        "created_at": _utc(job.created_at),
        "started_at": _utc(began),
        "finished_at": _utc(ended),
        "seconds": round(ended - began, 3) if began and ended else None,
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
    usual = Settings.load().state.expanduser().absolute()
    return "" if state in (None, usual) else f" --state {shlex.quote(str(state))}"
