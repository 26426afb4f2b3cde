"""The words of the house as closed sets and frozen values. Imports nothing of ours."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NewType, TypeAlias

JobId = NewType("JobId", str)
WorkerId = NewType("WorkerId", str)

Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None


class JobState(StrEnum):
    VALIDATING = "validating"
    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    FINALIZING = "finalizing"
    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


class WebhookEvent(StrEnum):
    """What a webhook may be told of."""

    STARTED = "job.started"
    PAUSED = "job.paused"
    SUCCEEDED = "job.succeeded"
    PARTIAL = "job.partial"
    FAILED = "job.failed"
    EXPIRED = "job.expired"
    CANCELLED = "job.cancelled"


class DeliveryState(StrEnum):
    """A notice waits for its next try, has arrived, or was given up."""

    PENDING = "pending"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


JOB_TERMINAL = frozenset(
    {
        JobState.SUCCEEDED,
        JobState.PARTIAL,
        JobState.FAILED,
        JobState.EXPIRED,
        JobState.CANCELLED,
    }
)
"""States in which nothing happens any more until somebody asks for it."""


class ChunkState(StrEnum):
    PENDING = "pending"
    LEASED = "leased"
    COMMITTED = "committed"
    SPLIT = "split"
    DEAD = "dead"


class ChunkKind(StrEnum):
    INFER = "infer"
    FINALIZE = "finalize"


class Join(StrEnum):
    """What a result row carries beside the model's columns."""

    NONE = "none"
    KEY = "key"
    INPUT = "input"


class OnError(StrEnum):
    ISOLATE = "isolate"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open range ``[start, end)`` of positions (see `Input`)."""

    start: int
    end: int

    @property
    def length(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Input:
    """One pinned input file and its place in the job's position space.

    All inputs of a job stand one behind the other in a single space of integer positions; this
    one occupies ``[base, base + extent)``. A position is a byte for line formats (of the decoded
    stream where the file is compressed) and a row for Parquet; a row belongs to the chunk that
    holds its first position. Where the extent is unknown without reading (compressed files), it
    is an upper bound and the file is not `divisible` by the planner.
    """

    index: int
    uri: str
    format: str
    size: int
    version: str
    base: int
    extent: int
    divisible: bool


@dataclass(frozen=True, slots=True)
class Part:
    """One immutable object of results or errors; `path` is relative to the output folder."""

    path: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Lease:
    """Authority over one chunk: every write of its holder names this attempt and token."""

    job_id: JobId
    idx: int
    kind: ChunkKind
    span: Span
    attempt: int
    token: str
    worker: WorkerId
    crash_count: int
    suspects: tuple[int, ...]
    """Positions of the rows in flight when an earlier attempt crashed; run last, one by one."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a chunk has read of one input, and where that meets what its neighbours read.

    The row behind its last one has to be the first one of the next chunk that has any: a row that
    somebody skipped, or read twice, breaks this chain. Positions are those in the file.
    """

    index: int
    """Of the input."""
    rows: int
    start: int | None = None
    """Where its first row starts; None for no row, or where the format cannot tell."""
    end: int | None = None
    """Where the row behind its last one starts; None where nobody went so far."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What an earlier job got right of a chunk: its part, and where rows are missing in it."""

    output: str
    """The folder that the part's path is relative to."""
    part: Part
    span: Span
    """The whole chunk, from whose first row on rows are counted; splits of it share it."""
    runs: tuple[int, ...]
    """Lengths of runs of rows, by turns kept and missing; a kept one, maybe of no rows, first."""
    readings: tuple[Reading, ...]
    """What the earlier job had read of each input, in input order."""
    fingerprints: tuple[dict[str, Any], ...]
    """What computed the part; none is in it twice."""

    @property
    def is_whole(self) -> bool:
        """No row of the chunk is missing."""
        return not any(self.runs[1::2])


@dataclass(frozen=True, slots=True)
class PlannedChunk:
    """One block of the plan; `weight` is its share of the input in bytes, for progress and ETA."""

    span: Span
    weight: int
    kept: Kept | None = None


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What a worker commits for one chunk."""

    rows_ok: int
    rows_err: int
    part: Part | None
    error_part: Part | None
    readings: tuple[Reading, ...]
    """One for each input that it overlaps, in input order."""
    fingerprint: dict[str, Json]
