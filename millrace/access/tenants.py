"""Tenants, and the storage that each may name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from millrace.access import audit
from millrace.access.caller import Caller
from millrace.db import access_tables
from millrace.db.now import db_now
from millrace.db.upsert import insert_into
from millrace.errors import InvalidInput

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant that an operator has said something about."""

    name: str
    roots: tuple[str, ...]
    """URIs of folders and prefixes; the tenant may name what lies below them."""
    created_at: float


def check_name(name: str) -> None:
    """`InvalidInput` for what cannot be the name of a tenant; names become parts of paths."""
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            "TENANT_INVALID",
            f"{name[:80]!r} cannot be a tenant",
            "use up to 63 lower-case letters, digits, - and _, the first a letter or digit",
        )


def allow(
    conn: Connection, by: Caller, name: str, roots: Sequence[str], *, now: float | None = None
) -> None:
    """Say which storage a tenant may name, in place of what was said before."""
    check_name(name)
    row = {"name": name, "roots": list(roots), "created_at": db_now(now)}
    added = insert_into(conn, access_tables.tenant).values(row)
    conn.execute(
        added.on_conflict_do_update(index_elements=["name"], set_={"roots": added.excluded.roots})
    )
    audit.record(conn, by, "tenant.allow", f"tenant:{name}", {"roots": list(roots)}, now=now)


def roots_of(conn: Connection, name: str) -> tuple[str, ...]:
    """The storage that a tenant may name; none where nobody has said so."""
    tenant = access_tables.tenant.c
    return tuple(conn.scalar(select(tenant.roots).where(tenant.name == name)) or ())


def views(conn: Connection) -> list[Tenant]:
    """All tenants of which something was said, by name."""
    found = conn.execute(select(access_tables.tenant).order_by(access_tables.tenant.c.name))
    return [Tenant(row.name, tuple(row.roots), row.created_at) for row in found]
