"""A worker in the roster, and whether it may claim."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from millrace.clock import SystemClock
from millrace.db.session import Database
from millrace.lifecycle import queries
from millrace.settings import Settings
from tests.faults import FaultyDatabase, Switch
from tests.integration.conftest import StartChild
from tests.running import ME, runner_of
from workers.presence import Presence


def presence_of(database: Database, compute: StartChild, tmp_path: Path) -> Presence:
    child = compute()
    runner = runner_of(database, child, tmp_path)
    return Presence(database, ME, Settings(state=tmp_path), child, runner, SystemClock())


def seen(database: Database) -> list[str]:
    with database.read() as connection:
        return [worker.id for worker in queries.workers(connection)]


def set_revision(database: Database, revision: str) -> str:
    with database.write() as connection:
        before = connection.scalar(text("SELECT version_num FROM alembic_version"))
        connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})
    return str(before)


def test_it_may_claim_while_the_tables_are_those_it_knows(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    """F42: a migration while it runs stops it, and not for ever."""
    presence = presence_of(database, compute, tmp_path)
    assert not presence.fit(), "it has not asked yet"
    presence.tick()
    assert presence.fit()
    before = set_revision(database, "9999")
    presence.tick()
    assert not presence.fit()
    set_revision(database, before)
    presence.tick()
    assert presence.fit()
    assert seen(database) == [ME]


def test_a_database_that_is_away_is_asked_again(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    switch = Switch()
    switch.cut = True
    presence = presence_of(FaultyDatabase(database, switch), compute, tmp_path)
    presence.tick()
    assert not presence.fit()
    switch.cut = False
    presence.tick()
    assert presence.fit()
    switch.cut = True
    presence.tick()
    assert presence.fit(), "to be away says nothing about the tables"


def test_a_roster_that_was_restored_from_a_backup_knows_it_again(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    """F41"""
    presence = presence_of(database, compute, tmp_path)
    presence.tick()
    with database.write() as connection:
        connection.execute(text("DELETE FROM worker"))
    presence.tick()
    assert seen(database) == [ME]
