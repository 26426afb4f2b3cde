"""What a compute process says it did, believed only where it is what it was asked to do."""

from __future__ import annotations

import re

from millrace.errors import MillraceError
from millrace.types import ChunkResult, Input, Part, Reading, Span
from workers.order import Finished, WorkOrder

_SUFFIX = re.compile(r"[a-z0-9.]+")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_BYTES = 2**63 - 1


class AnswerRejected(MillraceError):
    """The child claims what it was not asked for, or what does not add up; nothing is committed."""

    def __init__(self, fault: str) -> None:
        super().__init__("CHILD_PROTOCOL", f"the compute process is not to be believed: {fault}")


def accepted(order: WorkOrder, answer: Finished) -> ChunkResult:
    """The results to commit; `AnswerRejected` where they cannot be those of the order."""
    _expect(answer.token == order.token, "it answers another order")
    counted = (answer.part.rows if answer.part else 0, _rows(answer.error_part))
    _expect(counted == (answer.rows_ok, answer.rows_err), "its parts have other rows than it says")
    given, read = order.inputs, answer.readings
    indices = [each.index for each in read]
    rows = [each.rows for each in read]
    _expect(sum(rows) == sum(counted), "it read other rows than it answered for")
    _expect(indices == [each.index for each in given], "it read other inputs than it was given")
    _expect(bool(given), "it was given no input")
    _expect(min(*counted, *rows) >= 0, "it counts rows below nothing")
    for source, reading in zip(given, read, strict=True):
        _expect(_stays(order, source, reading), "it read rows that are not its own")
    _expect(sum(counted) <= order.end - order.start, "it counts more rows than there can be")
    seen = sum(order.start <= position < order.end for position in order.suspects)
    _expect(sum(counted) >= seen, "it read fewer rows than were in flight before")
    if order.kept is not None and order.kept.span == Span(order.start, order.end):
        _expect(sum(counted) == sum(order.kept.runs), "it has other rows than its parent had")
        _expect(answer.rows_ok >= order.kept.part.rows, "it has lost rows that it was to keep")
    for part, folder in ((answer.part, "parts"), (answer.error_part, "errors")):
        if part is not None:
            ours, _, suffix = part.path.partition(".")
            named = ours == f"{folder}/{order.part_stem}" and _SUFFIX.fullmatch(suffix)
            _expect(bool(named), f"it wrote {part.path!r}, which is not its own")
            _expect(0 <= part.bytes <= _MAX_BYTES, f"{part.path!r} cannot have {part.bytes} bytes")
            _expect(_SHA256.fullmatch(part.sha256) is not None, "its SHA-256 is none")
    return ChunkResult(
        rows_ok=answer.rows_ok,
        rows_err=answer.rows_err,
        part=answer.part,
        error_part=answer.error_part,
        readings=read,
        fingerprint=answer.fingerprint,
    )


def _stays(order: WorkOrder, source: Input, reading: Reading) -> bool:
    """Whether the first row that it claims starts in its range, and the next one behind that."""
    first, last = order.start - source.base, min(order.end - source.base, source.extent)
    if reading.start is None:
        return reading.end is None
    return max(first, 0) <= reading.start < last and (
        reading.end is None or reading.start < reading.end <= source.extent
    )


def _rows(part: Part | None) -> int:
    return part.rows if part is not None else 0


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AnswerRejected(otherwise)
