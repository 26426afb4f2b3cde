"""Error records as a worker writes them: places counted inside the chunk and the input's file."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pyarrow as pa

from millrace.datasets.schema import is_json
from millrace.types import Json
from workers.engines.base import Refused
from workers.window import Window

MESSAGE_CHARACTERS = 2_000
EXCERPT_CHARACTERS = 200


def error_records(
    window: Window, refused: Iterable[Refused], used: tuple[str, ...], key: str | None
) -> list[dict[str, Json]]:
    """One record for each reject of the reader and each row that was `refused`, in input order.

    `key` names the column that tells rows apart, where the job joins by one.
    """
    records = [_of_refused(window, each, used, key) for each in refused]
    for piece, reject in window.rejects:
        records.append(
            {
                "row": piece.first + reject.row,
                "input": piece.source.index,
                "input_row": reject.row,
                "position": reject.position,
                "code": reject.code,
                "message": reject.message[:MESSAGE_CHARACTERS],
                "excerpt": reject.excerpt[:EXCERPT_CHARACTERS],
            }
        )
    return sorted(records, key=lambda record: int(str(record["row"])))


def _of_refused(
    window: Window, refused: Refused, used: tuple[str, ...], key: str | None
) -> dict[str, Json]:
    at = refused.row
    record: dict[str, Json] = {
        "row": int(window.row[at]),
        "input": int(window.source[at]),
        "input_row": int(window.source_row[at]),
        "position": int(window.position[at]),
        "code": refused.code,
        "message": refused.message[:MESSAGE_CHARACTERS],
    }
    if key is not None:
        record["key"] = _key(window.batch, key, at)
    record["excerpt"] = _excerpt(window.batch, used, at)
    return record


def _key(batch: pa.RecordBatch, key: str, at: int) -> Json:
    value = batch.column(key)[at].as_py()
    if is_json(batch.schema.field(key)) and value is not None:
        value = json.loads(value)
    return value if isinstance(value, (str, int, float, bool)) else str(value)


def _excerpt(batch: pa.RecordBatch, used: tuple[str, ...], at: int) -> str:
    """The beginning of what the engine was given for this row."""
    values = [batch.column(name)[at] for name in used[:8]]
    texts = [str(value.as_py())[:EXCERPT_CHARACTERS] for value in values]
    named = texts if len(used) == 1 else [f"{n}={t}" for n, t in zip(used, texts, strict=False)]
    return ", ".join(named)[:EXCERPT_CHARACTERS]
