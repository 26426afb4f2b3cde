"""Keys, tenants and the audit trail, on both databases."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, select

from millrace.access import audit, keys, tenants
from millrace.access.caller import Caller, operator
from millrace.access.key_text import KeyText
from millrace.access.scopes import Scope, grants
from millrace.db import access_tables
from millrace.db.session import Database
from millrace.errors import AccessDenied, InvalidInput, NotFound

NOW = 1_000_000.0
BOSS = operator("default")


def made(
    database: Database,
    *scopes: str,
    tenant: str = "acme",
    lifetime: float | None = None,
    now: float | None = None,
) -> str:
    with database.write() as connection:
        return keys.create(
            connection,
            BOSS,
            tenant=tenant,
            name="test",
            scopes=scopes or ("jobs:read",),
            lifetime=lifetime,
            now=now,
        )


def caller(database: Database, text: str, now: float | None = None) -> Caller | None:
    with database.read() as connection:
        found = keys.identify(connection, text, now=now)
    return None if found is None else found.caller


def test_a_key_says_whose_it_is_and_what_for(database: Database) -> None:
    text = made(database, "jobs:read", "jobs:write")
    found = caller(database, text)
    assert found is not None
    assert found.tenant == "acme"
    assert found.scopes == {Scope.JOBS_READ, Scope.JOBS_WRITE}
    assert text.startswith(f"mr_{found.key_id}_")


def test_the_database_holds_no_key(database: Database) -> None:
    secret = made(database).split("_")[2]
    with database.read() as connection:
        kept = connection.execute(select(access_tables.api_key)).all()
        told = connection.execute(select(access_tables.audit)).all()
    assert secret not in f"{kept}{told}"


def test_a_wrong_secret_is_nobody(database: Database) -> None:
    right = KeyText.read(made(database))
    assert right is not None
    wrong = KeyText(right.id, KeyText.new().secret)
    assert caller(database, wrong.written()) is None


@pytest.mark.parametrize("typed", ["", "nonsense", KeyText("0" * 12, "x" * 43).written()])
def test_an_unknown_key_is_nobody(database: Database, typed: str) -> None:
    made(database)
    assert caller(database, typed) is None


def test_a_key_expires(database: Database) -> None:
    text = made(database, lifetime=60.0, now=NOW)
    assert caller(database, text, NOW + 59) is not None
    assert caller(database, text, NOW + 60) is None


def test_a_revoked_key_is_good_for_nothing_at_once(database: Database) -> None:
    text = made(database)
    key_id = text.split("_")[1]
    for _ in range(2):
        with database.write() as connection:
            keys.revoke(connection, BOSS, key_id)
        assert caller(database, text) is None
    with database.read() as connection:
        assert not keys.exist(connection)
        actions = [each.action for each in audit.page(connection, "default")]
    assert actions == ["key.create", "key.revoke"]


def test_there_is_no_such_key(database: Database) -> None:
    with database.write() as connection, pytest.raises(NotFound):
        keys.revoke(connection, BOSS, "nobody")


def test_the_last_use_is_noted_now_and_then(database: Database) -> None:
    text = made(database, now=NOW)

    def is_stale(now: float) -> bool:
        with database.read() as connection:
            found = keys.identify(connection, text, now=now)
        assert found is not None
        return found.use_is_stale

    assert is_stale(NOW)
    with database.write() as connection:
        keys.note_use(connection, text.split("_")[1], now=NOW)
    assert not is_stale(NOW + 60)
    assert is_stale(NOW + 61)


@pytest.mark.parametrize(
    ("scopes", "tenant", "code"),
    [
        (["jobs:read", "jobs:eat"], "acme", "UNKNOWN_SCOPE"),
        (["admin"], "../acme", "TENANT_INVALID"),
        (["admin"], "Acme", "TENANT_INVALID"),
        (["admin"], "", "TENANT_INVALID"),
    ],
)
def test_a_key_that_cannot_be(
    database: Database, scopes: list[str], tenant: str, code: str
) -> None:
    with pytest.raises(InvalidInput) as refusal:
        made(database, *scopes, tenant=tenant)
    assert refusal.value.code == code
    with database.read() as connection:
        assert keys.views(connection) == []


def test_an_administrator_may_do_all_but_run_code() -> None:
    held = frozenset({Scope.ADMIN})
    assert [scope for scope in Scope if not grants(held, scope)] == [Scope.MODELS_UNSAFE]
    assert not grants(frozenset({Scope.JOBS_READ}), Scope.JOBS_WRITE)


def test_a_missing_scope_is_named() -> None:
    with pytest.raises(AccessDenied, match="jobs:write") as refusal:
        Caller("acme", frozenset({Scope.JOBS_READ}), "k").require(Scope.JOBS_WRITE)
    assert refusal.value.code == "SCOPE_REQUIRED"


def test_what_was_said_last_of_a_tenant_holds(database: Database) -> None:
    with database.write() as connection:
        tenants.allow(connection, BOSS, "acme", ["s3://a/b"])
        tenants.allow(connection, BOSS, "acme", ["s3://c/d", "file:///e"])
    with database.read() as connection:
        assert tenants.roots_of(connection, "acme") == ("s3://c/d", "file:///e")
        assert tenants.roots_of(connection, "other") == ()
        assert [each.name for each in tenants.views(connection)] == ["acme"]


def test_a_change_and_its_record_are_one(database: Database) -> None:
    def cut_short(connection: Connection) -> None:
        tenants.allow(connection, BOSS, "acme", [])
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        database.transact(cut_short)
    with database.read() as connection:
        assert audit.page(connection, "default") == []
        assert tenants.views(connection) == []
