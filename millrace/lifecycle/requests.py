"""Idempotency: a request with the same key is answered with the same job, whatever came between."""

from __future__ import annotations

from sqlalchemy import Connection, select

from millrace.db import access_tables
from millrace.db.now import db_now
from millrace.db.upsert import insert_into
from millrace.errors import Conflict
from millrace.types import JobId


def answered(conn: Connection, tenant: str, key: str, request_sha256: str) -> JobId | None:
    """The job that answered this very request before; none where the key is new.

    Raises `Conflict` where the key was used for another request.
    """
    idempotency = access_tables.idempotency_key.c
    earlier = conn.execute(
        select(idempotency.request_sha256, idempotency.job_id).where(
            idempotency.tenant == tenant, idempotency.key == key
        )
    ).one_or_none()
    if earlier is None:
        return None
    if earlier.request_sha256 != request_sha256:
        raise mismatch(key, earlier.job_id)
    return JobId(earlier.job_id)


def remember(
    conn: Connection,
    tenant: str,
    key: str,
    request_sha256: str,
    job_id: JobId,
    *,
    now: float | None = None,
) -> JobId:
    """Note the answer to a request and return it; that of a twin that was quicker, if there is one.

    Raises `Conflict` where the quicker one was another request.
    """
    row = {
        "tenant": tenant,
        "key": key,
        "request_sha256": request_sha256,
        "job_id": job_id,
        "created_at": db_now(now),
    }
    added = insert_into(conn, access_tables.idempotency_key).values(row)
    conn.execute(added.on_conflict_do_nothing(index_elements=["tenant", "key"]))
    return answered(conn, tenant, key, request_sha256) or job_id


def mismatch(key: str, job_id: str) -> Conflict:
    """The refusal of a key that stands for another request."""
    return Conflict(
        "IDEMPOTENCY_MISMATCH",
        f"the idempotency key {key[:80]!r} was used for another request, that of job {job_id}",
        "use a new key for a new request",
    )
