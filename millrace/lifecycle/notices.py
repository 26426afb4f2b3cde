"""What webhooks are told of a job's move: put into the outbox in the transaction of the move."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import orjson
from sqlalchemy import Connection, Row, func, insert, or_, select, true

from millrace.db import tables, webhook_tables
from millrace.db.now import db_now
from millrace.lifecycle.transitions import JobVerb
from millrace.types import DeliveryState, JobId, JobState, WebhookEvent

_J = JobState
_E = WebhookEvent

NOTICES: Mapping[tuple[JobVerb, JobState], WebhookEvent] = MappingProxyType(
    {
        (JobVerb.START, _J.RUNNING): _E.STARTED,
        (JobVerb.RETRY, _J.RUNNING): _E.STARTED,
        (JobVerb.PAUSE, _J.PAUSED): _E.PAUSED,
        (JobVerb.PUBLISH, _J.SUCCEEDED): _E.SUCCEEDED,
        (JobVerb.PUBLISH, _J.PARTIAL): _E.PARTIAL,
        (JobVerb.ABANDON, _J.FAILED): _E.FAILED,
        (JobVerb.FAIL, _J.FAILED): _E.FAILED,
        (JobVerb.EXPIRE, _J.EXPIRED): _E.EXPIRED,
        (JobVerb.CLOSE_CANCELLED, _J.CANCELLED): _E.CANCELLED,
    }
)
"""The moves that are told. Every one that ends a job is among them."""


def put_up(
    conn: Connection, job_id: JobId, verb: JobVerb, target: JobState, *, now: float | None = None
) -> None:
    """Have the job's webhooks told that it has moved so, once the transaction is committed."""
    event = NOTICES.get((verb, target))
    if event is None:
        return
    listeners = _listeners(conn, job_id, event)
    if not listeners:
        return
    job = _told(conn, job_id, now)
    shared = {
        "job_id": job_id,
        "event": event,
        "payload": _payload(event, job),
        "state": DeliveryState.PENDING,
        "created_at": job.moment,
        "put_up_at": job.moment,
        "next_at": job.moment,
        "attempt": 0,
        "tries": 0,
    }
    rows = [{"id": _new_id(job.moment), "webhook_id": each, **shared} for each in listeners]
    conn.execute(insert(webhook_tables.outbox), rows)


def _listeners(conn: Connection, job_id: JobId, event: WebhookEvent) -> list[str]:
    webhook, job = webhook_tables.webhook.c, tables.job.c
    found = conn.execute(
        select(webhook.id, webhook.events)
        .join_from(tables.job, webhook_tables.webhook, webhook.tenant == job.tenant)
        .where(
            job.id == job_id,
            or_(job.webhook.is_(None), job.webhook == webhook.id),
            webhook.removed_at.is_(None),
        )
        .order_by(webhook.id)
    )
    return [row.id for row in found if row.events is None or event in row.events]


def _told(conn: Connection, job_id: JobId, now: float | None) -> Row[*tuple[Any, ...]]:
    job, tally = tables.job.c, tables.tally.c
    sums = (
        select(
            func.coalesce(func.sum(tally.rows_ok), 0).label("rows_ok"),
            func.coalesce(func.sum(tally.rows_err), 0).label("rows_err"),
        )
        .where(tally.job_id == job_id)
        .subquery()
    )
    return conn.execute(
        select(
            job.id,
            job.tenant,
            job.state,
            job.reason_code,
            job.model,
            job.output_uri,
            job.created_at,
            job.started_at,
            job.finished_at,
            sums.c.rows_ok,
            sums.c.rows_err,
            db_now(now).label("moment"),
        )
        .join_from(tables.job, sums, true())
        .where(job.id == job_id)
    ).one()


def _payload(event: WebhookEvent, job: Row[*tuple[Any, ...]]) -> str:
    """The body of every try, byte for byte; it names the job and holds nothing of its rows."""
    body = {
        "type": event.value,
        "timestamp": _utc(job.moment),
        "data": {
            "job": job.id,
            "tenant": job.tenant,
            "state": job.state,
            "reason_code": job.reason_code,
            "model": job.model,
            "output": job.output_uri,
            "rows_ok": int(job.rows_ok),
            "rows_err": int(job.rows_err),
            "created_at": _utc(job.created_at),
            "started_at": _utc(job.started_at),
            "finished_at": _utc(job.finished_at),
        },
    }
    return orjson.dumps(body).decode()


def _utc(at: float | None) -> str | None:
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def _new_id(moment: float) -> str:
    return f"msg_{int(moment * 1000):012x}{secrets.token_hex(10)}"
