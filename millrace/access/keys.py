"""Verbs on API keys, and the question whose a key is."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Row, and_, exists, insert, or_, select, update

from millrace.access import audit
from millrace.access.caller import Caller
from millrace.access.key_text import KeyText
from millrace.access.scopes import Scope, scopes_of
from millrace.access.tenants import check_name
from millrace.db import access_tables
from millrace.db.now import db_now
from millrace.errors import NotFound
from millrace.types import Json

_NO_SECRET = "0" * 64
_USE_IS_NOTED_EVERY = 60.0


@dataclass(frozen=True, slots=True)
class KeyView:
    """One key without its secret; times in seconds since the epoch."""

    id: str
    tenant: str
    name: str
    scopes: tuple[str, ...]
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    last_used_at: float | None
    active: bool


@dataclass(frozen=True, slots=True)
class Identity:
    """A valid key's owner, and whether it is time to `note_use` again."""

    caller: Caller
    use_is_stale: bool


def create(
    conn: Connection,
    by: Caller,
    *,
    tenant: str,
    name: str,
    scopes: Collection[str],
    lifetime: float | None = None,
    now: float | None = None,
) -> str:
    """Make a key and return its text, which is kept nowhere; `lifetime` is in seconds.

    Raises `InvalidInput` for an unknown scope or an impossible name of a tenant.
    """
    check_name(tenant)
    text, granted = KeyText.new(), sorted(scopes_of(scopes))
    row = {
        "id": text.id,
        "tenant": tenant,
        "name": name,
        "secret_sha256": text.secret_sha256(),
        "scopes": granted,
        "created_at": db_now(now),
        "expires_at": None if lifetime is None else db_now(now) + lifetime,
    }
    conn.execute(insert(access_tables.api_key).values(row))
    told: dict[str, Json] = {"tenant": tenant, "name": name, "scopes": [*granted]}
    audit.record(conn, by, "key.create", f"key:{text.id}", told, now=now)
    return text.written()


def revoke(conn: Connection, by: Caller, key_id: str, *, now: float | None = None) -> None:
    """Let a key be good for nothing from this transaction on; twice is the same as once."""
    key = access_tables.api_key
    revoked = conn.execute(
        update(key)
        .where(key.c.id == key_id, key.c.revoked_at.is_(None))
        .values(revoked_at=db_now(now))
    ).rowcount
    if revoked:
        audit.record(conn, by, "key.revoke", f"key:{key_id}", now=now)
    elif conn.scalar(select(key.c.id).where(key.c.id == key_id)) is None:
        raise NotFound(
            "KEY_NOT_FOUND", f"there is no key {key_id!r}", "millrace keys list shows their ids"
        )


def identify(conn: Connection, text: str, *, now: float | None = None) -> Identity | None:
    """Whose key this is; none for one that is malformed, unknown, revoked or expired.

    An unknown key takes as long as a wrong secret: both are compared with something.
    """
    asked = KeyText.read(text)
    if asked is None:
        return None
    key = access_tables.api_key.c
    row = conn.execute(
        select(
            access_tables.api_key,
            _valid(now).label("valid"),
            or_(
                key.last_used_at.is_(None), key.last_used_at < db_now(now) - _USE_IS_NOTED_EVERY
            ).label("stale"),
        ).where(key.id == asked.id)
    ).one_or_none()
    kept = _NO_SECRET if row is None else row.secret_sha256
    is_right = hmac.compare_digest(kept, asked.secret_sha256())
    if row is None or not is_right or not row.valid:
        return None
    seal = hashlib.sha256(f"seal:{kept}".encode()).digest()
    caller = Caller(row.tenant, frozenset(map(Scope, row.scopes)), row.id, seal)
    return Identity(caller, bool(row.stale))


def note_use(conn: Connection, key_id: str, *, now: float | None = None) -> None:
    """Remember that the key was used at this time."""
    key = access_tables.api_key
    conn.execute(update(key).where(key.c.id == key_id).values(last_used_at=db_now(now)))


def views(
    conn: Connection, *, tenant: str | None = None, now: float | None = None
) -> list[KeyView]:
    """The keys of one tenant, or all, oldest first."""
    key = access_tables.api_key
    found = select(key, _valid(now).label("active")).order_by(key.c.created_at, key.c.id)
    if tenant is not None:
        found = found.where(key.c.tenant == tenant)
    return [_view(row) for row in conn.execute(found)]


def exist(conn: Connection, *, now: float | None = None) -> bool:
    """Whether there is any key with which somebody could come in."""
    return bool(conn.scalar(select(exists().where(_valid(now)))))


def _valid(now: float | None) -> ColumnElement[bool]:
    key = access_tables.api_key.c
    alive = or_(key.expires_at.is_(None), key.expires_at > db_now(now))
    return and_(key.revoked_at.is_(None), alive)


def _view(row: Row[*tuple[object, ...]]) -> KeyView:
    shown = {name: value for name, value in row._mapping.items() if name != "secret_sha256"}
    return KeyView(**shown | {"scopes": tuple(row.scopes), "active": bool(row.active)})
