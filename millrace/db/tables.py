"""The rows that may exist: columns, constraints and indexes, nothing else.

Times are seconds since the epoch by the database's clock. Positions are those of
`millrace.types.Input`. The Core tables at the end are what statements are written with.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlmodel import Field

from millrace.db import access_tables, filing_tables, webhook_tables
from millrace.db.rules import (
    METADATA,
    Record,
    exactly_when,
    json_column,
    one_of,
    partial_index,
    sql_list,
)
from millrace.types import ChunkKind, ChunkState, JobState

TERMINAL_JOBS = ("succeeded", "partial", "failed", "expired", "cancelled")
OWNING_JOBS = tuple(state for state in JobState if state not in ("failed", "expired", "cancelled"))
"""States in which a job owns its output folder: nobody else may publish there."""

# Databases that are migrated fill these in for the rows that they hold already.
_ZERO = {"server_default": text("0")}
_EMPTY = {"server_default": text("''")}
_DEFAULT_POOL = {"server_default": text("'default'")}


class Job(Record, table=True):
    """One submission. `spec` is a `millrace.spec.JobSpec` as JSON text."""

    __table_args__ = (
        one_of("state", JobState),
        CheckConstraint("priority BETWEEN 0 AND 9", name="priority_range"),
        CheckConstraint("position_end >= 0", name="position_end_range"),
        exactly_when("finished_at", f"state IN ({sql_list(TERMINAL_JOBS)})", "finished"),
        exactly_when("manifest_sha256", "state IN ('succeeded', 'partial')", "published"),
        exactly_when("reason_code", "reason IS NOT NULL", "reason_whole"),
        CheckConstraint(
            "plan_complete OR state NOT IN ('queued', 'running', 'paused', 'finalizing',"
            " 'succeeded', 'partial')",
            name="planned",
        ),
        UniqueConstraint("tenant", "idempotency_key"),
        partial_index(
            "uq_job_owned_output",
            ("output_uri",),
            f"state IN ({sql_list(OWNING_JOBS)}) AND superseded_at IS NULL",
            unique=True,
        ),
        Index("ix_job_state", "state"),
        Index("ix_job_output", "output_uri", "id"),
        Index("ix_job_tenant", "tenant", "id"),
        Index("ix_job_model", "tenant", "model", "id"),
        partial_index("ix_job_parent", ("parent_id",), "parent_id IS NOT NULL"),
    )

    id: str = Field(primary_key=True)
    tenant: str = "default"
    state: str
    reason_code: str | None = None
    reason: str | None = Field(default=None, sa_type=Text)
    run_epoch: int = 0
    model_refusals: int = 0
    spec: str = Field(sa_type=Text)
    spec_hash: str
    output_uri: str
    model_sha256: str | None = None
    arrow_schema: str = Field(default="", sa_type=Text)
    position_end: int = Field(default=0, sa_type=BigInteger)
    plan_complete: bool = False
    plan_notes: list[Any] | None = Field(default=None, sa_column=json_column())
    manifest_sha256: str | None = None
    idempotency_key: str | None = None
    priority: int = 5
    created_at: float = Field(sa_type=Double)
    started_at: float | None = Field(default=None, sa_type=Double)
    finished_at: float | None = Field(default=None, sa_type=Double)
    expires_at: float | None = Field(default=None, sa_type=Double)
    superseded_at: float | None = Field(default=None, sa_type=Double)
    pool: str = Field(default="default", sa_column_kwargs=_DEFAULT_POOL)
    weight_total: int = Field(default=0, sa_type=BigInteger, sa_column_kwargs=_ZERO)
    chunks_planned: int = Field(default=0, sa_column_kwargs=_ZERO)
    parent_id: str | None = None
    model: str = Field(default="", sa_type=Text, sa_column_kwargs=_EMPTY)
    webhook: str | None = None
    """The one endpoint to tell; all of the tenant's where it is NULL."""


class JobInput(Record, table=True):
    """One pinned input file of a job (`millrace.types.Input`)."""

    __tablename__ = "job_input"
    __table_args__ = (
        ForeignKeyConstraint(["job_id"], ["job.id"]),
        CheckConstraint("extent >= 0 AND base >= 0 AND size >= 0", name="extent_range"),
    )

    job_id: str = Field(primary_key=True)
    index: int = Field(primary_key=True)
    uri: str = Field(sa_type=Text)
    format: str
    size: int = Field(sa_type=BigInteger)
    version: str
    base: int = Field(sa_type=BigInteger)
    extent: int = Field(sa_type=BigInteger)
    divisible: bool


class Chunk(Record, table=True):
    """One block of a job, or its one piece of publishing work (`kind`)."""

    __table_args__ = (
        ForeignKeyConstraint(["job_id"], ["job.id"]),
        one_of("kind", ChunkKind),
        one_of("state", ChunkState),
        CheckConstraint("start_pos >= 0 AND start_pos < end_pos", name="span"),
        CheckConstraint("weight >= 0", name="weight_range"),
        exactly_when("token", "state IN ('leased', 'committed')", "token"),
        exactly_when("owner", "state IN ('leased', 'committed')", "owner"),
        exactly_when("lease_until", "state = 'leased'", "lease"),
        exactly_when("rows_ok", "state IN ('committed', 'dead')", "counted_ok"),
        exactly_when("rows_err", "state IN ('committed', 'dead')", "counted_err"),
        exactly_when("error_code", "state = 'dead'", "buried"),
        exactly_when("finished_at", "state IN ('committed', 'split', 'dead')", "finished"),
        exactly_when("part_path", "part_sha256 IS NOT NULL", "part_whole"),
        exactly_when("error_path", "error_sha256 IS NOT NULL", "error_part_whole"),
        CheckConstraint(
            "state = 'committed' OR (part_path IS NULL AND error_path IS NULL)", name="parts"
        ),
        CheckConstraint(
            "attempt >= 0 AND crash_count >= 0 AND infra_count >= 0 AND progress_rows >= 0"
            " AND rows_ok >= 0 AND rows_err >= 0",
            name="counters",
        ),
        CheckConstraint("offered_at IS NULL OR state = 'leased'", name="offered"),
        CheckConstraint("twin_token IS NULL OR state = 'leased'", name="twin"),
        exactly_when("twin_owner", "twin_token IS NOT NULL", "twin_owner"),
        exactly_when("twin_until", "twin_token IS NOT NULL", "twin_lease"),
        partial_index("ix_chunk_due", ("job_id", "start_pos"), "state = 'pending'"),
        partial_index("ix_chunk_rung", ("rung_at",), "state = 'pending' AND rung_at IS NOT NULL"),
        partial_index(
            "ix_chunk_rung_job",
            ("job_id", "rung_at"),
            "state = 'pending' AND rung_at IS NOT NULL",
        ),
        partial_index("ix_chunk_lease", ("lease_until",), "state = 'leased'"),
        partial_index("ix_chunk_leased_job", ("job_id",), "state = 'leased'"),
        partial_index("ix_chunk_offered", ("offered_at",), "offered_at IS NOT NULL"),
        partial_index("ix_chunk_twin", ("twin_until",), "twin_until IS NOT NULL"),
        partial_index("uq_chunk_finalize", ("job_id",), "kind = 'finalize'", unique=True),
    )

    job_id: str = Field(primary_key=True)
    idx: int = Field(primary_key=True)
    kind: str
    start_pos: int = Field(sa_type=BigInteger)
    end_pos: int = Field(sa_type=BigInteger)
    weight: int = Field(sa_type=BigInteger)
    parent_idx: int | None = None
    state: str
    attempt: int = 0
    token: str | None = None
    owner: str | None = None
    lease_until: float | None = Field(default=None, sa_type=Double)
    not_before: float = Field(default=0.0, sa_type=Double)
    rung_at: float | None = Field(default=None, sa_type=Double)
    crash_count: int = 0
    infra_count: int = 0
    lost_count: int = 0
    progress_rows: int = Field(default=0, sa_type=BigInteger)
    in_flight: list[Any] | None = Field(default=None, sa_column=json_column())
    suspects: list[Any] | None = Field(default=None, sa_column=json_column())
    rows_ok: int | None = Field(default=None, sa_type=BigInteger)
    rows_err: int | None = Field(default=None, sa_type=BigInteger)
    part_path: str | None = None
    part_bytes: int | None = Field(default=None, sa_type=BigInteger)
    part_sha256: str | None = None
    error_path: str | None = None
    error_bytes: int | None = Field(default=None, sa_type=BigInteger)
    error_sha256: str | None = None
    error_rows: int | None = Field(default=None, sa_type=BigInteger)
    input_rows: list[Any] | None = Field(default=None, sa_column=json_column())
    """Lists of what `millrace.types.Reading` holds, the last two only since positions are told."""
    fingerprint: dict[str, Any] | None = Field(default=None, sa_column=json_column())
    error_code: str | None = None
    error_message: str | None = Field(default=None, sa_type=Text)
    finished_at: float | None = Field(default=None, sa_type=Double)
    leased_at: float | None = Field(default=None, sa_type=Double)
    rung_to: str | None = None
    offered_at: float | None = Field(default=None, sa_type=Double)
    twin_token: str | None = None
    twin_owner: str | None = None
    twin_until: float | None = Field(default=None, sa_type=Double)
    twin_at: float | None = Field(default=None, sa_type=Double)
    kept: dict[str, Any] | None = Field(default=None, sa_column=json_column())


class Tally(Record, table=True):
    """What the settled chunks of a job add up to, spread over a few rows that are added up.

    One row would be a queue for all workers of the job. `added` counts the children of splits.
    """

    __table_args__ = (ForeignKeyConstraint(["job_id"], ["job.id"]),)

    job_id: str = Field(primary_key=True)
    slot: int = Field(primary_key=True)
    rows_ok: int = Field(default=0, sa_type=BigInteger)
    rows_err: int = Field(default=0, sa_type=BigInteger)
    weight_done: int = Field(default=0, sa_type=BigInteger)
    committed: int = 0
    dead: int = 0
    split: int = 0
    added: int = 0


class Event(Record, table=True):
    """One transition of a job or of one of its chunks; rows are only ever added."""

    __table_args__ = (
        ForeignKeyConstraint(["job_id"], ["job.id"]),
        Index("ix_event_job", "job_id", "id"),
    )

    id: int | None = Field(
        default=None,
        sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    )
    at: float = Field(sa_type=Double)
    job_id: str
    idx: int | None = None
    attempt: int | None = None
    verb: str
    from_state: str | None = None
    to_state: str
    worker: str | None = None
    detail: dict[str, Any] | None = Field(default=None, sa_column=json_column())


class Worker(Record, table=True):
    """One worker process, for people and for telling the dead from the slow."""

    id: str = Field(primary_key=True)
    host: str
    pid: int
    started_at: float = Field(sa_type=Double)
    seen_at: float = Field(sa_type=Double)
    left_at: float | None = Field(default=None, sa_type=Double)
    pool: str = Field(default="default", sa_column_kwargs=_DEFAULT_POOL)
    device: str = Field(default="", sa_column_kwargs=_EMPTY)
    version: str = Field(default="", sa_column_kwargs=_EMPTY)
    models: list[Any] | None = Field(default=None, sa_column=json_column())
    draining: bool = Field(default=False, sa_column_kwargs={"server_default": false()})


class Leader(Record, table=True):
    """Who does a task of which there must be one; `term` grows at each change of holder."""

    name: str = Field(primary_key=True)
    holder: str
    term: int
    until: float = Field(sa_type=Double)


__all__ = ["METADATA", "access_tables", "filing_tables", "webhook_tables"]

job: Table = METADATA.tables["job"]
job_input: Table = METADATA.tables["job_input"]
chunk: Table = METADATA.tables["chunk"]
event: Table = METADATA.tables["event"]
worker: Table = METADATA.tables["worker"]
tally: Table = METADATA.tables["tally"]
leader: Table = METADATA.tables["leader"]
