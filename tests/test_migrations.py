"""Migrations make the very tables that the models say, on both databases, at any time."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from millrace.db import migrations
from millrace.db.session import Database
from millrace.db.tables import METADATA
from millrace.errors import Conflict
from millrace.lifecycle import queries
from millrace.types import ChunkState, JobId

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


def at_the_first_revision(database: Database) -> None:
    """A database as the first revision left it, with a job that has come half way."""
    with database.write() as connection:
        migrate(connection, "0001")
        connection.execute(
            text(
                "INSERT INTO job (id, tenant, state, run_epoch, model_refusals, spec, spec_hash,"
                " output_uri, arrow_schema, position_end, plan_complete, priority, created_at)"
                " VALUES ('j', 't', 'running', 0, 0, '{}', 'h', 'o', '', 5, :complete, 5, 0)"
            ),
            {"complete": True},
        )
        connection.execute(text("INSERT INTO worker VALUES ('w', 'host', 1, 0, 0, NULL)"))
        for idx, (state, values) in enumerate(FIRST_CHUNKS):
            columns = "".join(f", {name}" for name in values)
            given = "".join(f", {value}" for value in values.values())
            connection.execute(
                text(
                    "INSERT INTO chunk (job_id, idx, kind, start_pos, end_pos, weight, attempt,"
                    " not_before, crash_count, infra_count, progress_rows, state"
                    f"{columns}) VALUES ('j', {idx}, 'infer', {idx}, {idx + 1}, 10, 1, 0, 0, 0, 0,"
                    f" '{state}'{given})"
                )
            )


HELD: dict[str, object] = {"token": "'t'", "owner": "'w'"}
COUNTED: dict[str, object] = {"rows_ok": 7, "rows_err": 1, "finished_at": 5}
FIRST_CHUNKS: list[tuple[str, dict[str, object]]] = [
    ("committed", HELD | COUNTED),
    ("split", {"finished_at": 5}),
    ("leased", HELD | {"lease_until": 9}),
    ("pending", {"parent_idx": 1}),
    ("dead", COUNTED | {"rows_ok": 0, "error_code": "'X'", "parent_idx": 1}),
]


def migrate(connection: Connection, revision: str) -> None:
    config = migrations.config()
    config.attributes["connection"] = connection
    if revision < (migrations._revision(connection) or ""):
        command.downgrade(config, revision)
    else:
        command.upgrade(config, revision)


def test_what_was_there_is_summed_up(empty: Database, empty_url: str) -> None:
    at_the_first_revision(empty)
    migrations.upgrade(empty_url)
    with empty.read() as connection:
        progress = queries.progress(connection, JobId("j"))
        job = connection.execute(text("SELECT * FROM job")).one()
        worker = connection.execute(text("SELECT * FROM worker")).one()
    assert (job.pool, job.parent_id) == ("default", None)
    assert (job.weight_total, job.chunks_planned) == (40, 3)
    assert (progress.rows_ok, progress.rows_err, progress.weight_done) == (7, 2, 20)
    assert progress.chunks == dict.fromkeys(ChunkState, 1)
    assert (worker.pool, worker.device, worker.version, worker.draining) == ("default", "", "", 0)


def test_there_is_a_way_back_that_loses_no_chunk(empty: Database, empty_url: str) -> None:
    at_the_first_revision(empty)
    with empty.read() as connection:
        chunks = connection.execute(text("SELECT * FROM chunk ORDER BY idx")).all()
        tables = set(inspect(connection).get_table_names())
    migrations.upgrade(empty_url)
    with empty.write() as connection:
        migrate(connection, "0001")
    with empty.read() as connection:
        assert connection.execute(text("SELECT * FROM chunk ORDER BY idx")).all() == chunks
        assert set(inspect(connection).get_table_names()) == tables
    migrations.upgrade(empty_url)
    assert migrations.is_current(empty)
