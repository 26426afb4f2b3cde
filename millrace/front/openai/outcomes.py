"""What became of each request of a batch, as the lines of OpenAI's output and error files.

Three streams in the same order are put together: the rows that the job was given, its results and
its failures. A row with neither was not done before the job ended.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import orjson

from millrace import storage
from millrace.datasets.lines import lines
from millrace.errors import InvalidInput
from millrace.filing.batches import BatchView
from millrace.front.openai.endpoints import endpoint_of
from millrace.front.openai.row_key import RowKey
from millrace.front.openai.translation import KEY

_NOT_DONE = {
    "expired": (
        "batch_expired",
        "This request could not be executed before the completion window expired.",
    ),
    "cancelled": ("batch_cancelled", "This request was not executed as the batch was cancelled."),
    "failed": ("batch_failed", "This request was not executed as the batch failed."),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a row has no result; `position` is its first byte in the job's input."""

    position: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Answered:
    """One line of the output file, or of the error file."""

    is_ok: bool
    line: bytes


@dataclass(frozen=True, slots=True)
class _Row:
    key: RowKey
    value: Any
    failure: tuple[str, str] | None


def answers(
    batch: BatchView,
    ending: str,
    rows_uri: str,
    results: Iterable[bytes],
    failures: Iterable[Failure],
) -> Iterator[Answered]:
    """One for each request, in input order; `ending` is the outcome of the batch.

    Raises `InvalidInput` where results are not those of this batch, or some are missing though the
    job is complete.
    """
    endpoint = endpoint_of(batch.endpoint)
    rows = _rows(ending, endpoint.column, rows_uri, results, failures)
    for line, grouped in groupby(rows, key=lambda row: row.key.line):
        request = [*grouped]
        first = request[0].key
        failed = next((row.failure for row in request if row.failure), None)
        response = error = None
        if failed is None:
            values = [row.value for row in request]
            body = endpoint.answer(batch.model or "", first.style, values)
            asked = f"req_{_token(batch.id, line, 'request')}"
            response = {"status_code": 200, "request_id": asked, "body": body}
        else:
            error = dict(zip(("code", "message"), failed, strict=True))
        document = {
            "id": f"batch_req_{_token(batch.id, line, 'line')}",
            "custom_id": first.custom_id,
            "response": response,
            "error": error,
        }
        yield Answered(failed is None, orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))


def _rows(
    ending: str,
    column: str,
    rows_uri: str,
    results: Iterable[bytes],
    failures: Iterable[Failure],
) -> Iterator[_Row]:
    given, failed = iter(map(orjson.loads, results)), iter(failures)
    result, failure = next(given, None), next(failed, None)
    for position, text in _given(rows_uri):
        key = RowKey.read(text)
        if result is not None and result[KEY] == text:
            if not isinstance(result.get(column), list):
                raise InvalidInput("MODEL_UNSUITABLE", f"the model gives no column {column!r}")
            yield _Row(key, result[column], None)
            result = next(given, None)
        elif failure is not None and failure.position == position:
            yield _Row(key, None, (failure.code.lower(), failure.message))
            failure = next(failed, None)
        elif ending in _NOT_DONE:
            yield _Row(key, None, _NOT_DONE[ending])
        else:
            raise _unsound()
    if result is not None or failure is not None:
        raise _unsound()


def _given(rows_uri: str) -> Iterator[tuple[int, str]]:
    """Place and key of each row of the job."""
    store = storage.for_uri(rows_uri)
    with closing(store.open(store.info(rows_uri))) as source:
        for records in lines(source, 0, source.size):
            for position, content in zip(records.position, records.content, strict=True):
                yield int(position), orjson.loads(content)[KEY]


def _token(batch_id: str, line: int, what: str) -> str:
    return hashlib.sha256(f"{batch_id}:{line}:{what}".encode()).hexdigest()[:32]


def _unsound() -> InvalidInput:
    return InvalidInput(
        "OUTPUT_DAMAGED",
        "the results are not those of this batch any more",
        "something outside Millrace changed them; create the batch again",
    )
