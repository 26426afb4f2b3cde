"""What queries answer with: frozen copies of rows, in the words of `millrace.types`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from millrace.spec import JobSpec
from millrace.types import ChunkState, JobId, JobState, Json, Part, Span


@dataclass(frozen=True, slots=True)
class JobView:
    """One job as it stands; times in seconds since the epoch."""

    id: JobId
    tenant: str
    state: JobState
    reason_code: str | None
    reason: str | None
    run_epoch: int
    model_refusals: int
    spec: JobSpec
    spec_hash: str
    output_uri: str
    model_sha256: str | None
    arrow_schema: str
    """Empty before the inputs are pinned."""
    position_end: int
    plan_complete: bool
    plan_notes: tuple[str, ...]
    manifest_sha256: str | None
    idempotency_key: str | None
    priority: int
    created_at: float
    started_at: float | None
    finished_at: float | None
    expires_at: float | None
    superseded_at: float | None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the inference of a job is, in one snapshot. `weight` is input bytes, for the ETA."""

    rows_ok: int
    rows_err: int
    rows_in_flight: int
    """Done by attempts that have not committed; may fall when one is lost."""
    weight_done: int
    weight_total: int
    chunks: Mapping[ChunkState, int]
    """Every state is there, if only with 0."""


@dataclass(frozen=True, slots=True)
class SettledChunk:
    """One chunk with its end: committed, or dead with one error row and no part."""

    idx: int
    span: Span
    state: ChunkState
    attempt: int
    rows_ok: int
    rows_err: int
    part: Part | None
    error_part: Part | None
    input_rows: tuple[tuple[int, int], ...]
    """Pairs (input index, rows read from it), in input order."""
    fingerprint: Mapping[str, Json]
    error_code: str | None
    error_message: str | None
