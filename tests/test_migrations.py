"""Migrations make the very tables that the models say, on both databases, at any time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from millrace.db import migrations
from millrace.db.session import Database
from millrace.db.tables import METADATA
from millrace.errors import Conflict

PROCESSES = 4
UPGRADE = "import sys; from millrace.db.migrations import upgrade; upgrade(sys.argv[1])"


@pytest.fixture
def empty(empty_url: str) -> Iterator[Database]:
    opened = Database.connect(empty_url)
    yield opened
    opened.close()


def constraints(connection: Connection) -> dict[str, object]:
    """Everything of the schema that Alembic does not compare."""
    found = inspect(connection)
    return {
        name: (
            sorted(
                (each["name"] or "", each["sqltext"]) for each in found.get_check_constraints(name)
            ),
            sorted(each["name"] or "" for each in found.get_unique_constraints(name)),
            sorted(str(each["name"]) for each in found.get_indexes(name)),
            [str(each["constrained_columns"]) for each in found.get_foreign_keys(name)],
            sorted((each["name"], each["nullable"]) for each in found.get_columns(name)),
        )
        for name in METADATA.tables
    }


def test_models_and_migrations_agree(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_checks_and_indexes_are_those_of_the_models(empty: Database, empty_url: str) -> None:
    with empty.write() as connection:
        METADATA.create_all(connection)
        by_models = constraints(connection)
        METADATA.drop_all(connection)
    migrations.upgrade(empty_url)
    with empty.read() as connection:
        assert constraints(connection) == by_models


def test_the_head_is_what_the_code_says() -> None:
    assert ScriptDirectory.from_config(migrations.config()).get_current_head() == migrations.HEAD


def test_an_upgrade_makes_it_current(empty: Database, empty_url: str) -> None:
    assert not migrations.is_current(empty)
    migrations.upgrade(empty_url)
    assert migrations.is_current(empty)
    migrations.upgrade(empty_url)


def test_many_may_upgrade_at_once(empty: Database, empty_url: str) -> None:
    upgrades = [
        subprocess.Popen([sys.executable, "-c", UPGRADE, empty_url]) for _ in range(PROCESSES)
    ]
    assert [each.wait(timeout=60) for each in upgrades] == [0] * PROCESSES
    assert migrations.is_current(empty)


def test_a_database_from_the_future_is_left_alone(database: Database, database_url: str) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Conflict) as refusal:
        migrations.upgrade(database_url)
    assert refusal.value.code == "DATABASE_NEWER"


def test_a_failed_upgrade_leaves_nothing(empty: Database) -> None:
    def cut_short(connection: Connection) -> None:
        migrations._upgrade(connection)
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        empty.transact(cut_short)
    with empty.read() as connection:
        assert inspect(connection).get_table_names() == []


def test_looking_does_not_import_alembic() -> None:
    look = "import sys; import millrace.db.migrations; print('alembic' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"
