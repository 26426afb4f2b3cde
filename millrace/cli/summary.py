"""How a job ended, for people and for programs."""

from __future__ import annotations

from typing import Any

from millrace.cli.console import readable
from millrace.cli.progress import duration
from millrace.lifecycle.transitions import CHUNK_SETTLED
from millrace.types import ChunkState, JobState

EXIT_CODES = {
    JobState.SUCCEEDED: 0,
    JobState.FAILED: 8,
    JobState.PARTIAL: 9,
    JobState.EXPIRED: 10,
    JobState.CANCELLED: 11,
}


_PUBLISHED = (JobState.SUCCEEDED, JobState.PARTIAL)


def summary_text(summary: dict[str, Any], options: str = "") -> str:
    """A few lines: what came out, where it is, what to look at next.

    `options` are those with which the commands look at the same place.
    """
    output = readable(summary["output"])
    lines = [f"{summary['state']}: {_extent(summary)}"]
    if summary["seconds"] and summary["rows"]:
        rate = summary["rows"] / summary["seconds"]
        lines[0] += f" in {duration(summary['seconds'])} ({rate:,.0f} rows/s)"
    if summary["state"] in _PUBLISHED and summary["rows_ok"]:
        lines.append(f"results: {output}/parts, listed in _MANIFEST.json")
    if summary["rows_err"]:
        look = f"millrace jobs errors {summary['id']}{options}"
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
