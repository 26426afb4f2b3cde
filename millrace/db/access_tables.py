"""The rows behind `millrace.access`, and the requests that were answered before."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
)
from sqlmodel import Field

from millrace.db.rules import METADATA, Record, json_column


class ApiKey(Record, table=True):
    """One key: what it is good for, and the SHA-256 of its secret."""

    __tablename__ = "api_key"

    id: str = Field(primary_key=True)
    tenant: str
    name: str
    secret_sha256: str
    scopes: list[Any] | None = Field(default=None, sa_column=json_column())
    created_at: float = Field(sa_type=Double)
    expires_at: float | None = Field(default=None, sa_type=Double)
    revoked_at: float | None = Field(default=None, sa_type=Double)
    last_used_at: float | None = Field(default=None, sa_type=Double)


class Tenant(Record, table=True):
    """What an operator has said about a tenant; there may be jobs of tenants without a row."""

    name: str = Field(primary_key=True)
    roots: list[Any] | None = Field(default=None, sa_column=json_column())
    created_at: float = Field(sa_type=Double)


class Audit(Record, table=True):
    """One change that somebody made; rows are only ever added."""

    __table_args__ = (Index("ix_audit_tenant", "tenant", "id"),)

    id: int | None = Field(
        default=None,
        sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    )
    at: float = Field(sa_type=Double)
    tenant: str
    key_id: str | None = None
    action: str
    object: str = Field(sa_type=Text)
    detail: dict[str, Any] | None = Field(default=None, sa_column=json_column())


class IdempotencyKey(Record, table=True):
    """What a request with an idempotency key was answered with: the same again gets the same."""

    __tablename__ = "idempotency_key"
    __table_args__ = (ForeignKeyConstraint(["job_id"], ["job.id"]),)

    tenant: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    request_sha256: str
    job_id: str
    created_at: float = Field(sa_type=Double)


api_key: Table = METADATA.tables["api_key"]
tenant: Table = METADATA.tables["tenant"]
audit: Table = METADATA.tables["audit"]
idempotency_key: Table = METADATA.tables["idempotency_key"]
