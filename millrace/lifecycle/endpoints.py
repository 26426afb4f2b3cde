"""Verbs on webhooks as a tenant sets them up: register, rotate the secret, remove."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Row, func, insert, select, update

from millrace.db import webhook_tables
from millrace.db.now import db_now
from millrace.errors import Conflict, NotFound
from millrace.types import DeliveryState, WebhookEvent

MOST = 20
"""Webhooks that a tenant may have."""

OVERLAP_SECONDS = 24 * 3600.0
"""How long the secret before is good for, beside the new one, unless somebody says otherwise."""

_SECRET_BYTES = 32
_SIGNS = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class WebhookView:
    """One webhook without its secrets; times in seconds since the epoch."""

    id: str
    tenant: str
    url: str
    events: tuple[WebhookEvent, ...]
    created_at: float
    failures: int
    """Tries in a row that have failed."""
    rests_until: float | None
    """After so many it is left alone until then."""
    previous_secret_until: float | None


def register(
    conn: Connection,
    tenant: str,
    url: str,
    events: Sequence[WebhookEvent] | None = None,
    *,
    now: float | None = None,
) -> tuple[str, str]:
    """Have `url` told of these events, or of all; returns the id and the secret.

    Raises `Conflict` for one webhook too many.
    """
    webhook = webhook_tables.webhook.c
    mine = select(func.count()).where(webhook.tenant == tenant, webhook.removed_at.is_(None))
    if (conn.scalar(mine) or 0) >= MOST:
        raise Conflict("WEBHOOK_LIMIT", f"there are {MOST} webhooks already", "remove one first")
    secret = _new_secret()
    webhook_id = "wh_" + "".join(secrets.choice(_SIGNS) for _ in range(24))
    row = {
        "id": webhook_id,
        "tenant": tenant,
        "url": url,
        "events": None if events is None else sorted({each.value for each in events}),
        "secret": secret,
        "created_at": db_now(now),
        "failures": 0,
    }
    conn.execute(insert(webhook_tables.webhook).values(row))
    return webhook_id, secret


def rotate(
    conn: Connection,
    webhook_id: str,
    *,
    overlap: float = OVERLAP_SECONDS,
    now: float | None = None,
) -> str:
    """Give it a new secret and return that; for `overlap` seconds both sign.

    Raises `NotFound` for a webhook that is not there.
    """
    webhook = webhook_tables.webhook
    secret = _new_secret()
    rotated = conn.execute(
        update(webhook)
        .where(webhook.c.id == webhook_id, webhook.c.removed_at.is_(None))
        .values(
            previous_secret=webhook.c.secret,
            previous_until=db_now(now) + overlap,
            secret=secret,
        )
    ).rowcount
    if not rotated:
        raise no_such_webhook(webhook_id)
    return secret


def remove(conn: Connection, webhook_id: str, *, now: float | None = None) -> None:
    """Tell it nothing any more, not even what waits; its secrets are forgotten.

    Raises `NotFound` for a webhook that is not there.
    """
    webhook, outbox = webhook_tables.webhook, webhook_tables.outbox
    conn.execute(
        update(outbox)
        .where(outbox.c.webhook_id == webhook_id, outbox.c.state == DeliveryState.PENDING)
        .values(state=DeliveryState.GIVEN_UP, ended_at=db_now(now), last_fault="removed")
    )
    removed = conn.execute(
        update(webhook)
        .where(webhook.c.id == webhook_id, webhook.c.removed_at.is_(None))
        .values(
            removed_at=db_now(now),
            secret=None,
            previous_secret=None,
            previous_until=None,
            rests_until=None,
        )
    ).rowcount
    if not removed:
        raise no_such_webhook(webhook_id)


def views(conn: Connection, *, tenant: str | None = None) -> list[WebhookView]:
    """The webhooks of one tenant, or all, oldest first."""
    webhook = webhook_tables.webhook
    found = select(webhook).where(webhook.c.removed_at.is_(None))
    if tenant is not None:
        found = found.where(webhook.c.tenant == tenant)
    ordered = found.order_by(webhook.c.created_at, webhook.c.id)
    return [_view(row) for row in conn.execute(ordered)]


def known(conn: Connection, webhook_id: str, *, tenant: str | None = None) -> WebhookView:
    """One webhook; `NotFound` where there is none, or it is another tenant's."""
    webhook = webhook_tables.webhook
    found = select(webhook).where(webhook.c.id == webhook_id, webhook.c.removed_at.is_(None))
    if tenant is not None:
        found = found.where(webhook.c.tenant == tenant)
    row = conn.execute(found).one_or_none()
    if row is None:
        raise no_such_webhook(webhook_id)
    return _view(row)


def no_such_webhook(webhook_id: str) -> NotFound:
    """The answer to an id that no webhook has."""
    return NotFound(
        "WEBHOOK_NOT_FOUND",
        f"there is no webhook {webhook_id[:64]!r}",
        "GET /v1/webhooks lists those there are",
    )


def _view(row: Row[*tuple[object, ...]]) -> WebhookView:
    return WebhookView(
        id=row.id,
        tenant=row.tenant,
        url=row.url,
        events=tuple(map(WebhookEvent, row.events or WebhookEvent)),
        created_at=row.created_at,
        failures=row.failures,
        rests_until=row.rests_until,
        previous_secret_until=row.previous_until,
    )


def _new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()
