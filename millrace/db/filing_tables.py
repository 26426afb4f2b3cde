"""The rows behind `millrace.filing`: files that were uploaded or made, and batches over them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKeyConstraint,
    Index,
    Table,
    Text,
)
from sqlmodel import Field

from millrace.db.rules import METADATA, Record, exactly_when, json_column, sql_list

OUTCOMES = ("completed", "failed", "expired", "cancelled")


class File(Record, table=True):
    """One file; its bytes lie at `uri`."""

    __table_args__ = (
        CheckConstraint("bytes >= 0", name="bytes_range"),
        Index("ix_file_tenant", "tenant", "id"),
    )

    id: str = Field(primary_key=True)
    tenant: str
    purpose: str
    filename: str = Field(sa_type=Text)
    bytes: int = Field(sa_type=BigInteger)
    sha256: str
    uri: str = Field(sa_type=Text)
    created_at: float = Field(sa_type=Double)


class Batch(Record, table=True):
    """Requests of one file, which are the rows of one job; none where the file is not usable.

    The outcome is filled in once the files of results are written, and never changes again.
    """

    __table_args__ = (
        ForeignKeyConstraint(["job_id"], ["job.id"]),
        CheckConstraint(f"outcome IN ({sql_list(OUTCOMES)})", name="outcome_known"),
        exactly_when("outcome", "ended_at IS NOT NULL", "ended"),
        CheckConstraint("job_id IS NOT NULL OR outcome = 'failed'", name="job_known"),
        Index("ix_batch_tenant", "tenant", "id"),
    )

    id: str = Field(primary_key=True)
    tenant: str
    endpoint: str
    input_file_id: str
    completion_window: str
    labels: dict[str, Any] | None = Field(default=None, sa_column=json_column())
    model: str | None = None
    job_id: str | None = None
    requests: int = Field(sa_type=BigInteger)
    rows: int = Field(sa_type=BigInteger)
    requests_ok: int | None = Field(default=None, sa_type=BigInteger)
    requests_err: int | None = Field(default=None, sa_type=BigInteger)
    faults: list[Any] | None = Field(default=None, sa_column=json_column())
    output_file_id: str | None = None
    error_file_id: str | None = None
    created_at: float = Field(sa_type=Double)
    expires_at: float = Field(sa_type=Double)
    cancelling_at: float | None = Field(default=None, sa_type=Double)
    outcome: str | None = None
    ended_at: float | None = Field(default=None, sa_type=Double)


file: Table = METADATA.tables["file"]
batch: Table = METADATA.tables["batch"]
