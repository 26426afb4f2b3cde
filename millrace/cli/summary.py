"""How a job ended, for people and for programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from millrace.cli.console import readable
from millrace.cli.progress import duration
from millrace.db.session import Database
from millrace.errors import NotFound
from millrace.lifecycle import queries
from millrace.types import JobId, JobState

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
        job = queries.job(connection, JobId(job_id))
        if job is None:
            raise NotFound(
                "JOB_NOT_FOUND",
                f"there is no job {job_id!r}",
                "millrace jobs list shows those there are",
            )
        progress = queries.progress(connection, job.id)
    done = progress.rows_ok + progress.rows_err
    began, ended = job.started_at, job.finished_at
    return {
        "id": job.id,
        "state": job.state.value,
        "reason_code": job.reason_code or None,
        "reason": job.reason or None,
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


def summary_text(summary: dict[str, Any]) -> str:
    """A few lines: what came out, where it is, what to look at next."""
    output = readable(summary["output"])
    lines = [f"{summary['state']}: {summary['rows_ok']:,} of {summary['rows']:,} rows"]
    if summary["seconds"]:
        rate = summary["rows"] / summary["seconds"]
        lines[0] += f" in {duration(summary['seconds'])} ({rate:,.0f} rows/s)"
    if summary["rows_ok"]:
        lines.append(f"results: {output}/parts, listed in _MANIFEST.json")
    if summary["rows_err"]:
        lines.append(f"errors:  {summary['rows_err']:,} rows; millrace jobs errors {summary['id']}")
    return "\n".join(lines)
