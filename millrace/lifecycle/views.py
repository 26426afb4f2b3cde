"""What queries answer with: frozen copies of rows, in the words of `millrace.types`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from millrace.spec import JobSpec
from millrace.types import (
    ChunkKind,
    ChunkState,
    JobId,
    JobState,
    Json,
    Kept,
    Part,
    Reading,
    Span,
    WorkerId,
)


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
    pool: str
    weight_total: int
    chunks_planned: int
    parent_id: JobId | None
    model: str
    """ENGINE:LOCATION, as people write it."""
    webhook: str | None


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
    readings: tuple[Reading, ...]
    """One for each input that it overlaps, in input order."""
    fingerprint: Mapping[str, Json]
    error_code: str | None
    error_message: str | None
    weight: int
    kept: Kept | None
    """What of its part is another job's."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """One job with a chunk that could be claimed now. `weight` is input bytes."""

    job_id: JobId
    tenant: str
    priority: int
    created_at: float
    expires_at: float | None
    model_sha256: str | None
    kind: ChunkKind
    """What is to be done for it now."""
    pending_weight: int
    """Of what nobody has begun; 0 for publishing."""
    leased_weight: int
    """Of what workers are computing."""
    chunks_open: int
    """Those that are neither settled nor split, whether leased or not."""


@dataclass(frozen=True, slots=True)
class LeaseView:
    """One leased chunk, as one looks for slow ones."""

    idx: int
    owner: WorkerId
    held_seconds: float
    weight: int
    twinned: bool
    offered: bool


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker process that has not left; times in seconds since the epoch."""

    id: WorkerId
    host: str
    pid: int
    pool: str
    device: str
    version: str
    models: tuple[str, ...]
    """SHA-256 of each model that it holds, or the engine's name where there is none."""
    draining: bool
    """It ends once it has done what it holds."""
    started_at: float
    seen_at: float
    silent_seconds: float
