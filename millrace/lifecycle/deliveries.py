"""Verbs of whoever delivers notices: take one on for a try, and record how that went.

A try is claimed for a while, and what it records is fenced by its number: a notice is delivered at
least once, by any number of schedulers, and under one id.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Connection,
    and_,
    bindparam,
    or_,
    select,
    update,
)

from millrace.db import webhook_tables
from millrace.db.now import db_now
from millrace.lifecycle.redelivery import rest_after, wait_after
from millrace.types import DeliveryState


@dataclass(frozen=True, slots=True)
class Try:
    """The authority to deliver a notice once, and to record what came of it."""

    id: str
    webhook_id: str
    attempt: int
    url: str
    payload: str
    secrets: tuple[str, ...] = field(repr=False)
    """The present one, and the one before while that is still good."""
    moment: float
    """The database's time, seconds since the epoch."""


def due(conn: Connection, *, now: float | None = None) -> list[tuple[str, bool]]:
    """The webhooks that have a notice to be tried and do not rest, whoever waits longest first.

    With each, whether only one try at a time is wise, as the last ones have all failed.
    """
    webhook, outbox = webhook_tables.webhook.c, webhook_tables.outbox.c
    longest = (
        select(outbox.next_at)
        .where(outbox.webhook_id == webhook.id, is_due(now))
        .order_by(outbox.next_at)
        .limit(1)
        .correlate(webhook_tables.webhook)
        .scalar_subquery()
    )
    found = conn.execute(
        select(webhook.id, webhook.rests_until)
        .where(webhook.removed_at.is_(None), _is_awake(now), longest.is_not(None))
        .order_by(longest, webhook.id)
    )
    return [(row.id, row.rests_until is not None) for row in found]


def claim(
    conn: Connection, webhook_id: str, limit: int, seconds: float, *, now: float | None = None
) -> list[Try]:
    """Take on up to `limit` due notices of a webhook, for `seconds`; those never tried come first.

    Where its last tries have all failed it is one, and nobody takes on another meanwhile.
    """
    webhook, outbox = webhook_tables.webhook.c, webhook_tables.outbox.c
    listener = conn.execute(
        select(
            webhook.url,
            webhook.secret,
            webhook.previous_secret,
            (webhook.previous_until > db_now(now)).label("both"),
            webhook.rests_until,
            db_now(now).label("moment"),
        ).where(webhook.id == webhook_id, webhook.removed_at.is_(None), _is_awake(now))
    ).one_or_none()
    if listener is None or limit < 1:
        return []
    if listener.rests_until is not None:
        if not _probe(conn, webhook_id, seconds, now):
            return []
        limit = 1
    ids = conn.scalars(
        select(outbox.id)
        .where(outbox.webhook_id == webhook_id, is_due(now))
        .order_by(outbox.tries, outbox.next_at, outbox.id)
        .limit(limit)
    )
    secrets = (listener.secret, *((listener.previous_secret,) if listener.both else ()))
    taken = []
    for each in ids.all():
        row = conn.execute(
            update(webhook_tables.outbox)
            .where(outbox.id == each, is_due(now))
            .values(
                attempt=outbox.attempt + 1, tries=outbox.tries + 1, next_at=db_now(now) + seconds
            )
            .returning(outbox.attempt, outbox.payload)
        ).one_or_none()
        if row is not None:
            told = (row.attempt, listener.url, row.payload, secrets, listener.moment)
            taken.append(Try(each, webhook_id, *told))
    return taken


def delivered(conn: Connection, attempt: Try, status: int, *, now: float | None = None) -> bool:
    """The webhook has taken it; false for a try that is not the current one any more."""
    webhook = webhook_tables.webhook
    ended = conn.execute(
        update(webhook_tables.outbox)
        .where(_current(attempt))
        .values(
            state=DeliveryState.DELIVERED,
            ended_at=db_now(now),
            last_status=status,
            last_fault=None,
        )
    ).rowcount
    if ended:
        conn.execute(
            update(webhook)
            .where(webhook.c.id == attempt.webhook_id, webhook.c.failures > 0)
            .values(failures=0, rests_until=None)
        )
    return bool(ended)


def failed(
    conn: Connection,
    attempt: Try,
    fault: str,
    status: int | None = None,
    *,
    now: float | None = None,
) -> bool:
    """It did not arrive: try again later, or never where it is too old for that.

    After several failures in a row the webhook rests. False for a try that is not current.
    """
    outbox, webhook = webhook_tables.outbox, webhook_tables.webhook
    row = conn.execute(
        select(outbox.c.tries, (db_now(now) - outbox.c.put_up_at).label("age")).where(
            _current(attempt)
        )
    ).one_or_none()
    if row is None:
        return False
    wait = wait_after(row.tries, row.age)
    then = (
        {"state": DeliveryState.GIVEN_UP, "ended_at": db_now(now)}
        if wait is None
        else {"next_at": db_now(now) + wait}
    )
    moved = conn.execute(
        update(outbox).where(_current(attempt)).values(last_status=status, last_fault=fault, **then)
    ).rowcount
    if not moved:
        return False
    failures = conn.scalar(
        update(webhook)
        .where(webhook.c.id == attempt.webhook_id)
        .values(failures=webhook.c.failures + 1)
        .returning(webhook.c.failures)
    )
    rest = rest_after(failures or 0)
    if rest is not None:
        conn.execute(
            update(webhook)
            .where(webhook.c.id == attempt.webhook_id, webhook.c.removed_at.is_(None))
            .values(rests_until=db_now(now) + rest)
        )
    return True


def _probe(conn: Connection, webhook_id: str, seconds: float, now: float | None) -> bool:
    """Be the one who tries whether a webhook that has rested answers again."""
    webhook = webhook_tables.webhook
    return bool(
        conn.execute(
            update(webhook)
            .where(webhook.c.id == webhook_id, webhook.c.rests_until <= db_now(now))
            .values(rests_until=db_now(now) + seconds)
        ).rowcount
    )


def _is_awake(now: float | None) -> ColumnElement[bool]:
    webhook = webhook_tables.webhook.c
    return or_(webhook.rests_until.is_(None), webhook.rests_until <= db_now(now))


def is_due(now: float | None = None) -> ColumnElement[bool]:
    """A notice that waits, and whose time has come."""
    outbox = webhook_tables.outbox.c
    # Written out, because a partial index is not used for a parameter.
    pending: BindParameter[str] = bindparam(None, DeliveryState.PENDING.value, literal_execute=True)
    return and_(outbox.state == pending, outbox.next_at <= db_now(now))


def _current(attempt: Try) -> ColumnElement[bool]:
    outbox = webhook_tables.outbox.c
    return and_(
        outbox.id == attempt.id,
        outbox.attempt == attempt.attempt,
        outbox.state == DeliveryState.PENDING,
    )
