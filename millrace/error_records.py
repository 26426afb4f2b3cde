"""Error records as people read them: rows and lines counted over the whole input.

A worker cannot know how many rows came before its chunk, so its raw records count inside the chunk
(``row``) and inside each input (``input_row``); once every chunk is settled the sums are known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from millrace.errors import NotFound, UnsoundResults
from millrace.lifecycle.queries import SettledChunk
from millrace.spec import JobSpec
from millrace.storage.base import Storage, blocks
from millrace.types import Input, Part, Reading

_ONE_LINE_A_ROW = frozenset({"jsonl", "text"})


def error_records(
    store: Storage, spec: JobSpec, inputs: Sequence[Input], settled: Iterable[SettledChunk]
) -> Iterator[dict[str, Any]]:
    """The records of all settled chunks (consecutive from the first one), in input order.

    Raises `UnsoundResults` where a file of them is not, byte for byte, what was committed.
    """
    by_index = {each.index: each for each in inputs}
    first_row = 0
    first_of_input = dict.fromkeys(by_index, 0)
    for chunk in settled:
        for raw in raw_records(store, spec, inputs, chunk):
            yield _final(raw, by_index, first_row, first_of_input)
        first_row += chunk.rows_ok + chunk.rows_err
        for each in readings(chunk, inputs):
            first_of_input[each.index] += each.rows


def raw_records(
    store: Storage, spec: JobSpec, inputs: Sequence[Input], chunk: SettledChunk
) -> Iterator[dict[str, Any]]:
    """The records of one settled chunk, in input order, with places inside chunk and input."""
    if chunk.error_part is not None:
        yield from _records(store, spec.output, chunk.idx, chunk.error_part)
    elif chunk.rows_err:
        yield _buried(chunk, inputs)


def readings(chunk: SettledChunk, inputs: Sequence[Input]) -> tuple[Reading, ...]:
    """What the chunk answers for, of each of its inputs."""
    if chunk.readings or not chunk.rows_err:
        return chunk.readings
    return (Reading(_input_at(chunk.span.start, inputs).index, chunk.rows_err),)


def _final(
    raw: dict[str, Any],
    inputs: dict[int, Input],
    first_row: int,
    first_of_input: dict[int, int],
) -> dict[str, Any]:
    source = inputs[raw["input"]]
    file_row = first_of_input[source.index] + raw["input_row"]
    place: dict[str, Any] = {"file": source.uri, "file_row": file_row}
    if source.format in _ONE_LINE_A_ROW:
        place["line"] = file_row + 1
    if source.format != "parquet":
        place["byte"] = raw["position"]
    kept = ("key", "code", "message", "excerpt")
    place |= {name: raw[name] for name in kept if name in raw}
    return {"row": first_row + raw["row"], **place}


def _buried(chunk: SettledChunk, inputs: Sequence[Input]) -> dict[str, Any]:
    """The record of a row that no worker has survived; only its place is known."""
    source = _input_at(chunk.span.start, inputs)
    return {
        "row": 0,
        "input": source.index,
        "input_row": 0,
        "position": chunk.span.start - source.base,
        "code": chunk.error_code,
        "message": chunk.error_message,
    }


def _input_at(position: int, inputs: Sequence[Input]) -> Input:
    return next(each for each in inputs if each.base <= position < each.base + each.extent)


def _records(store: Storage, output: str, idx: int, part: Part) -> Iterator[dict[str, Any]]:
    try:
        yield from map(json.loads, _lines(store, f"{output}/{part.path}", part.sha256))
    except (ValueError, NotFound):
        raise UnsoundResults(
            "PART_DAMAGED",
            f"{part.path} is not what was committed: something outside Millrace changed the output",
            [idx],
        ) from None


def _lines(store: Storage, uri: str, sha256: str) -> Iterator[bytes]:
    """The lines of an object; `ValueError` at its end where it has another digest."""
    stream, digest = store.open(store.info(uri)), hashlib.sha256()
    try:
        rest = b""
        for block in blocks(stream):
            digest.update(block)
            *whole, rest = (rest + block).split(b"\n")
            yield from whole
        if rest:
            yield rest
        if digest.hexdigest() != sha256:
            raise ValueError(uri)
    finally:
        stream.close()
