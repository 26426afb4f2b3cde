"""Answers that are sent while they are read, line by line."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from fastapi.responses import StreamingResponse

from millrace.front.rows import PUBLISHED
from millrace.lifecycle.queries import JobView

NDJSON = "application/x-ndjson"


def ndjson(job: JobView, lines: Iterator[bytes], name: str) -> StreamingResponse:
    """JSON lines of a job; ``X-Incomplete`` says whether there may be more later.

    The first piece is read before anything is sent, so that what is wrong can still be told.
    """
    first = next(lines, b"")
    return StreamingResponse(
        chain((first,), lines),
        media_type=NDJSON,
        headers={
            "X-Incomplete": str(job.state not in PUBLISHED).lower(),
            "Content-Disposition": f'attachment; filename="{job.id}-{name}.ndjson"',
        },
    )
