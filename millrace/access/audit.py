"""Who changed what: one record per change, in the transaction of the change, only ever added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from millrace.access.caller import Caller
from millrace.db import access_tables
from millrace.db.now import db_now
from millrace.types import Json


@dataclass(frozen=True, slots=True)
class Entry:
    """One change; `object` is what was changed, as ``job:ID`` or ``key:ID``."""

    id: int
    at: float
    tenant: str
    key_id: str | None
    action: str
    object: str
    detail: dict[str, Json] | None


def record(
    conn: Connection,
    caller: Caller,
    action: str,
    changed: str,
    detail: Mapping[str, Json] | None = None,
    *,
    now: float | None = None,
) -> None:
    """Add the record that `caller` did `action` to `changed`."""
    row = {
        "at": db_now(now),
        "tenant": caller.tenant,
        "key_id": caller.key_id,
        "action": action,
        "object": changed,
        "detail": dict(detail) if detail else None,
    }
    conn.execute(insert(access_tables.audit).values(row))


def page(conn: Connection, tenant: str, *, after: int = 0, limit: int = 100) -> list[Entry]:
    """The records of a tenant with an id greater than `after`, oldest first."""
    audit = access_tables.audit
    found = conn.execute(
        select(audit)
        .where(audit.c.tenant == tenant, audit.c.id > after)
        .order_by(audit.c.id)
        .limit(limit)
    )
    return [Entry(**row) for row in found.mappings()]
