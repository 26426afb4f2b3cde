"""What stands in the outbox: shown, put up again, and swept out in the end."""

from __future__ import annotations

from dataclasses import dataclass, fields

from sqlalchemy import Connection, and_, delete, exists, or_, select, update

from millrace.db import webhook_tables
from millrace.db.now import db_now
from millrace.errors import NotFound
from millrace.lifecycle.deliveries import is_due
from millrace.lifecycle.redelivery import LONGEST_SECONDS
from millrace.types import DeliveryState, JobId

_KEPT_SECONDS = 30 * 86_400.0


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """One notice and what became of it; times in seconds since the epoch."""

    id: str
    webhook_id: str
    job_id: JobId
    event: str
    state: DeliveryState
    tries: int
    created_at: float
    next_at: float
    ended_at: float | None
    last_status: int | None
    last_fault: str | None


def redeliver(
    conn: Connection, webhook_id: str, notice_id: str, *, now: float | None = None
) -> DeliveryView:
    """Put a notice up again, under its id, whatever became of it; the webhook's rest is over.

    Raises `NotFound` where the webhook has no such notice.
    """
    outbox, webhook = webhook_tables.outbox, webhook_tables.webhook
    put_up = conn.execute(
        update(outbox)
        .where(outbox.c.id == notice_id, outbox.c.webhook_id == webhook_id)
        .values(
            state=DeliveryState.PENDING,
            ended_at=None,
            tries=0,
            put_up_at=db_now(now),
            next_at=db_now(now),
        )
    ).rowcount
    if not put_up:
        raise NotFound(
            "DELIVERY_NOT_FOUND",
            f"webhook {webhook_id} has no delivery {notice_id[:64]!r}",
            "its list of deliveries has their ids; they are kept for 30 days",
        )
    awake = update(webhook).where(webhook.c.id == webhook_id, webhook.c.rests_until.is_not(None))
    conn.execute(awake.values(rests_until=db_now(now)))
    [view] = page(conn, webhook_id, limit=1, only=notice_id)
    return view


def page(
    conn: Connection,
    webhook_id: str,
    *,
    limit: int,
    after: str | None = None,
    only: str | None = None,
) -> list[DeliveryView]:
    """The notices of a webhook, newest first; those older than `after` where given."""
    outbox = webhook_tables.outbox
    shown = [outbox.c[each.name] for each in fields(DeliveryView)]
    found = select(*shown).where(outbox.c.webhook_id == webhook_id)
    if after is not None:
        found = found.where(outbox.c.id < after)
    if only is not None:
        found = found.where(outbox.c.id == only)
    rows = conn.execute(found.order_by(outbox.c.id.desc()).limit(limit))
    return [
        DeliveryView(**{**row, "state": DeliveryState(row["state"])}) for row in rows.mappings()
    ]


def sweep(conn: Connection, *, now: float | None = None) -> None:
    """Give up what is too old to be tried again, and forget what ended a month ago.

    A notice is given up only after a first try, however long its webhook has rested.
    """
    outbox, webhook = webhook_tables.outbox, webhook_tables.webhook
    removed = exists().where(webhook.c.id == outbox.c.webhook_id, webhook.c.removed_at.is_not(None))
    stale = and_(outbox.c.tries > 0, outbox.c.put_up_at < db_now(now) - LONGEST_SECONDS)
    conn.execute(
        update(outbox)
        .where(is_due(now), or_(stale, removed))
        .values(state=DeliveryState.GIVEN_UP, ended_at=db_now(now))
    )
    conn.execute(delete(outbox).where(outbox.c.ended_at < db_now(now) - _KEPT_SECONDS))
