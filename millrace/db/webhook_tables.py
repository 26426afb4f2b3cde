"""The rows behind webhooks: who is told of what, and what there is to tell."""

from __future__ import annotations

from typing import Any

from sqlalchemy import CheckConstraint, Double, ForeignKeyConstraint, Index, Table, Text
from sqlmodel import Field

from millrace.db.rules import (
    METADATA,
    Record,
    exactly_when,
    json_column,
    one_of,
    partial_index,
)
from millrace.types import DeliveryState


class Webhook(Record, table=True):
    """One endpoint of a tenant's, which is told of the moves of jobs.

    The secrets are kept as they are, because each notice is signed with them. A row stays when the
    endpoint is removed, without its secrets, so that a job that moves at that moment finds it.
    """

    __table_args__ = (
        CheckConstraint("failures >= 0", name="failures_range"),
        exactly_when("previous_secret", "previous_until IS NOT NULL", "previous_whole"),
        exactly_when("secret", "removed_at IS NULL", "secret"),
        Index("ix_webhook_tenant", "tenant", "id"),
    )

    id: str = Field(primary_key=True)
    tenant: str
    url: str = Field(sa_type=Text)
    events: list[Any] | None = Field(default=None, sa_column=json_column())
    """Which events; all where there is no list."""
    secret: str | None = None
    previous_secret: str | None = None
    previous_until: float | None = Field(default=None, sa_type=Double)
    created_at: float = Field(sa_type=Double)
    removed_at: float | None = Field(default=None, sa_type=Double)
    failures: int = 0
    """Tries in a row that have failed, over all its notices."""
    rests_until: float | None = Field(default=None, sa_type=Double)


class Outbox(Record, table=True):
    """One notice to one endpoint; written in the transaction of the move that it tells of.

    `id` is the `webhook-id` of every try. `attempt` only grows and fences what a try records;
    `tries` counts those since the notice was last put up.
    """

    __table_args__ = (
        ForeignKeyConstraint(["webhook_id"], ["webhook.id"]),
        ForeignKeyConstraint(["job_id"], ["job.id"]),
        one_of("state", DeliveryState),
        exactly_when("ended_at", "state <> 'pending'", "ended"),
        CheckConstraint("attempt >= 0 AND tries >= 0", name="counters"),
        partial_index("ix_outbox_due", ("webhook_id", "next_at"), "state = 'pending'"),
        Index("ix_outbox_webhook", "webhook_id", "id"),
        Index("ix_outbox_ended", "ended_at"),
    )

    id: str = Field(primary_key=True)
    webhook_id: str
    job_id: str
    event: str
    payload: str = Field(sa_type=Text)
    state: str
    attempt: int = 0
    tries: int = 0
    created_at: float = Field(sa_type=Double)
    put_up_at: float = Field(sa_type=Double)
    next_at: float = Field(sa_type=Double)
    ended_at: float | None = Field(default=None, sa_type=Double)
    last_status: int | None = None
    last_fault: str | None = None


webhook: Table = METADATA.tables["webhook"]
outbox: Table = METADATA.tables["outbox"]
