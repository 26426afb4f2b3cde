"""From the requests of a file to the rows of a job: one for each text, streamed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import orjson

from millrace.front.openai.request_lines import Request
from millrace.front.openai.row_key import RowKey
from millrace.storage.os_errors import translated

KEY, TEXT = "key", "text"


@dataclass(frozen=True, slots=True)
class Translation:
    """What was written."""

    requests: int
    rows: int
    sha256: str


def translate(requests: Iterable[Request], path: Path) -> Translation:
    """Write the rows of the job as JSON lines with the columns `KEY` and `TEXT`."""
    digest, count, rows = hashlib.sha256(), 0, 0
    with translated(path), path.open("wb") as target:
        for request in requests:
            content = _lines(request)
            digest.update(content)
            target.write(content)
            count += 1
            rows += len(request.texts)
    return Translation(count, rows, digest.hexdigest())


def _lines(request: Request) -> bytes:
    count = len(request.texts)
    return b"".join(
        orjson.dumps(
            {
                KEY: RowKey(request.line, index, count, request.style, request.custom_id).written(),
                TEXT: text,
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for index, text in enumerate(request.texts)
    )
