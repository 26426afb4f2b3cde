"""The commit of one chunk, and what to believe when its outcome is unknown."""

from __future__ import annotations

import logging
import random
import re
import threading
from typing import Literal, assert_never

from millrace.clock import Clock
from millrace.db.session import Database
from millrace.errors import LeaseLost, MillraceError, Unavailable
from millrace.lifecycle import chunks, retry
from millrace.telemetry import fields
from millrace.types import ChunkResult, Lease, Part
from workers.order import Finished, WorkOrder

log = logging.getLogger(__name__)

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_BYTES = 2**63 - 1


class AnswerRejected(MillraceError):
    """The child claims what it was not asked for, or what does not add up; nothing is committed."""

    def __init__(self, fault: str) -> None:
        super().__init__("CHILD_PROTOCOL", f"the compute process is not to be believed: {fault}")


def commit(
    database: Database, lease: Lease, order: WorkOrder, answer: Finished, clock: Clock
) -> None:
    """Record the parts of `answer` as the results of the chunk.

    Raises `LeaseLost` where they come too late, `AnswerRejected` where they are not what was asked.

    Where the database goes away in the middle, the row is asked what became of it: a commit is
    never assumed to have failed (FoundationDB: ``commit_unknown_result``).
    """
    result = _result(order, answer)
    for tries in range(1, 1_000_000):
        try:
            with database.write() as connection:
                chunks.commit(connection, lease, result)
            return
        except Unavailable as error:
            log.warning("commit unknown %s", fields(job=lease.job_id, idx=lease.idx, reason=error))
        match _outcome(database, lease, clock, tries):
            case "committed":
                return
            case "lost":
                raise LeaseLost
            case "leased":
                continue
            case never:
                assert_never(never)


def _outcome(
    database: Database, lease: Lease, clock: Clock, tries: int
) -> Literal["committed", "leased", "lost"]:
    nobody = threading.Event()
    while True:
        clock.wait(nobody, retry.backoff(tries, random.random()))
        try:
            with database.read() as connection:
                return chunks.settled(connection, lease)
        except Unavailable:
            tries += 1


def _result(order: WorkOrder, answer: Finished) -> ChunkResult:
    """What the child says it did, if it is what it was asked to do."""
    counted = (answer.part.rows if answer.part else 0, _rows(answer.error_part))
    _expect(counted == (answer.rows_ok, answer.rows_err), "its parts have other rows than it says")
    _expect(sum(answer.input_rows) == sum(counted), "it read other rows than it answered for")
    _expect(len(answer.input_rows) == len(order.inputs), "it read other inputs than it was given")
    _expect(min(*counted, *answer.input_rows) >= 0, "it counts rows below nothing")
    _expect(sum(counted) <= order.end - order.start, "it counts more rows than there can be")
    for part, folder in ((answer.part, "parts"), (answer.error_part, "errors")):
        if part is not None:
            ours = re.fullmatch(rf"{folder}/{re.escape(order.part_stem)}\.[a-z0-9.]+", part.path)
            _expect(ours is not None, f"it wrote {part.path!r}, which is not its own")
            _expect(0 <= part.bytes <= _MAX_BYTES, f"{part.path!r} cannot have {part.bytes} bytes")
            _expect(_SHA256.fullmatch(part.sha256) is not None, "its SHA-256 is none")
    read = zip((each.index for each in order.inputs), answer.input_rows, strict=True)
    return ChunkResult(
        rows_ok=answer.rows_ok,
        rows_err=answer.rows_err,
        part=answer.part,
        error_part=answer.error_part,
        input_rows=tuple(read),
        fingerprint=answer.fingerprint,
    )


def _rows(part: Part | None) -> int:
    return part.rows if part is not None else 0


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AnswerRejected(otherwise)
