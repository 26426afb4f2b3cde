"""Transactions and their faults, on both databases."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Connection, make_url, select, text
from sqlalchemy.exc import DBAPIError

from millrace.db.now import db_now
from millrace.db.session import POOL_SECONDS, Database
from millrace.errors import InvalidInput, Unavailable
from tests.postgres import PostgresServer
from tests.servers.proxy import Proxy, Toxic

COUNT = text("SELECT count(*) FROM worker")


def add_worker(connection: Connection, name: str) -> None:
    columns = "(id, host, pid, started_at, seen_at)"
    row = text(f"INSERT INTO worker {columns} VALUES (:name, 'host', 1, 0, 0)")
    connection.execute(row, {"name": name})


def workers(database: Database) -> int:
    with database.read() as connection:
        return connection.scalar(COUNT) or 0


def fault(database: Database) -> Unavailable:
    """What people are told when they cannot write."""
    with pytest.raises(Unavailable) as refusal, database.write() as connection:
        add_worker(connection, "w")
    assert refusal.value.hint
    assert "Traceback" not in str(refusal.value)
    return refusal.value


def test_a_block_that_ends_commits(database: Database) -> None:
    with database.write() as connection:
        add_worker(connection, "w")
    assert workers(database) == 1


def test_a_block_that_raises_rolls_back(database: Database) -> None:
    def verb(connection: Connection) -> None:
        add_worker(connection, "w")
        raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError):
        database.transact(verb)
    assert workers(database) == 0


def test_a_read_is_one_snapshot(database: Database) -> None:
    with database.read() as reader:
        assert reader.scalar(COUNT) == 0
        with database.write() as connection:
            add_worker(connection, "w")
        assert reader.scalar(COUNT) == 0
    assert workers(database) == 1


def test_a_read_writes_nothing(database: Database) -> None:
    with pytest.raises((Unavailable, DBAPIError)), database.read() as connection:
        add_worker(connection, "w")
    with database.write() as connection:
        add_worker(connection, "w")


def test_read_then_write_is_safe_from_many_threads(database: Database) -> None:
    def count_up() -> None:
        for _ in range(25):
            with database.write(durable=False) as connection:
                pid = connection.scalar(look)
                connection.execute(text("UPDATE worker SET pid = :pid"), {"pid": (pid or 0) + 1})

    with database.write() as connection:
        lock = "FOR UPDATE" if connection.dialect.name == "postgresql" else ""
        add_worker(connection, "w")
    look = text(f"SELECT pid FROM worker {lock}")
    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        assert connection.scalar(text("SELECT pid FROM worker")) == 101


def test_the_clock_is_the_databases(database: Database) -> None:
    with database.read() as connection:
        assert abs((connection.scalar(select(db_now())) or 0.0) - time.time()) < 5
        assert connection.scalar(select(db_now(12.5))) == 12.5


def test_sqlite_is_durable_where_it_was_asked_for(migrated_sqlite: Path) -> None:
    database = Database.connect(f"sqlite:///{migrated_sqlite}")
    settings = {}
    for durable in (True, False):
        with database.write(durable=durable) as connection:
            settings[durable] = connection.scalar(text("PRAGMA synchronous"))
    with database.read() as connection:
        assert connection.scalar(text("PRAGMA journal_mode")) == "wal"
        assert connection.scalar(text("PRAGMA foreign_keys")) == 1
        assert connection.scalar(text("PRAGMA busy_timeout")) == 30_000
    database.close()
    assert settings == {True: 2, False: 1}


def test_a_deadlock_is_tried_again(database: Database) -> None:
    tries = []

    def verb(connection: Connection) -> str:
        tries.append(connection)
        if len(tries) < 3:
            raise Unavailable("DATABASE_CONTENDED", "gave way")
        return "done"

    assert database.transact(verb) == "done"
    with pytest.raises(Unavailable):
        database.transact(lambda connection: _unavailable("DATABASE_UNREACHABLE"))
    assert len(tries) == 3


def _unavailable(code: str) -> None:
    raise Unavailable(code, "it is not there")


@pytest.mark.parametrize(
    "url", ["", "millrace.db", "sqlite://", "sqlite:///:memory:", "mysql://host/db", "a://[::b"]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        Database.connect(url)
    assert "sqlite:///" in refusal.value.hint


class TestFaults:
    def test_no_such_folder(self, tmp_path: Path) -> None:
        told = fault(Database.connect(f"sqlite:///{tmp_path}/none/millrace.db"))
        assert told.code == "DATABASE_UNREACHABLE"

    def test_no_database_at_all(self, tmp_path: Path) -> None:
        (tmp_path / "millrace.db").write_text("once upon a time " * 100)
        told = fault(Database.connect(f"sqlite:///{tmp_path}/millrace.db"))
        assert told.code == "DATABASE_DAMAGED"

    def test_no_tables(self, empty_url: str) -> None:
        database = Database.connect(empty_url)
        told = fault(database)
        database.close()
        assert told.code == "DATABASE_OUTDATED"
        assert "millrace db upgrade" in told.hint

    def test_a_server_that_is_not_there(self) -> None:
        told = fault(Database.connect("postgresql://me:secret@127.0.0.1:1/db"))
        assert told.code == "DATABASE_UNREACHABLE"
        assert "secret" not in str(told)

    def test_a_full_disk(self, migrated_sqlite: Path, tmp_path: Path) -> None:
        file = tmp_path / "full.db"
        file.write_bytes(migrated_sqlite.read_bytes())
        database = Database.connect(f"sqlite:///{file}")

        def fill(connection: Connection) -> None:
            pages = connection.scalar(text("PRAGMA page_count"))
            connection.execute(text(f"PRAGMA max_page_count = {pages}"))
            for number in range(1_000):
                add_worker(connection, f"{number}" * 500)

        with pytest.raises(Unavailable) as refusal:
            database.transact(fill)
        database.close()
        assert refusal.value.code == "DATABASE_FULL"

    def test_a_lock_that_is_never_given_back(
        self, migrated_sqlite: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("millrace.db.session.BUSY_SECONDS", 0.05)
        database = Database.connect(f"sqlite:///{migrated_sqlite}")
        holder = sqlite3.connect(migrated_sqlite, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        told = fault(database)
        holder.close()
        database.close()
        assert told.code == "DATABASE_LOCKED"

    def test_a_file_that_may_only_be_read(self, migrated_sqlite: Path) -> None:
        database = Database.connect(f"sqlite:///file:{migrated_sqlite}?mode=ro&uri=true")
        told = fault(database)
        database.close()
        assert told.code == "DATABASE_READ_ONLY"

    @pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
    def test_a_connection_that_is_cut(self, database: Database) -> None:

        def lose_connection(connection: Connection) -> None:
            me = connection.scalar(text("SELECT pg_backend_pid()"))
            with database.write() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": me})
            add_worker(connection, "w")

        with pytest.raises(Unavailable) as refusal:
            database.transact(lose_connection)
        assert refusal.value.code == "DATABASE_UNREACHABLE"
        assert workers(database) == 0


class TestSilence:
    """F31: something between us and Postgres acknowledges what we say and passes nothing on."""

    @pytest.fixture
    def proxy(self, postgres_server: PostgresServer) -> Iterator[Proxy]:
        with Proxy(postgres_server.socket) as between:
            yield between

    @pytest.fixture
    def distant(
        self, postgres_server: PostgresServer, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[Database]:
        """A database beyond the proxy, of which we expect a sign in half a second."""
        monkeypatch.setattr("millrace.db.session.SILENCE_SECONDS", 0.5)
        with postgres_server.database() as url:
            name = make_url(url).database
            opened = Database.connect(f"postgresql://postgres@127.0.0.1:{proxy.port}/{name}")
            yield opened
            opened.close()

    def test_a_statement_is_not_waited_for_for_ever(self, distant: Database, proxy: Proxy) -> None:
        def read() -> None:
            with distant.read() as connection:
                assert connection.scalar(COUNT) == 0
                proxy.toxic = Toxic.BLACKHOLE
                connection.scalar(COUNT)

        with pytest.raises(Unavailable) as refusal:
            read()
        assert refusal.value.code == "DATABASE_UNREACHABLE"
        assert "0.5 seconds" in refusal.value.message
        proxy.toxic = Toxic.PASS
        assert workers(distant) == 0

    def test_nor_is_a_commit(self, distant: Database, proxy: Proxy) -> None:
        def write() -> None:
            with distant.write() as connection:
                add_worker(connection, "w")
                proxy.toxic = Toxic.BLACKHOLE

        with pytest.raises(Unavailable) as refusal:
            write()
        assert refusal.value.code == "DATABASE_UNREACHABLE"
        proxy.toxic = Toxic.PASS
        assert workers(distant) in (0, 1), "nobody knows, but the question is answered"

    def test_nor_is_a_connection_that_rested(self, distant: Database, proxy: Proxy) -> None:
        assert workers(distant) == 0
        proxy.toxic = Toxic.BLACKHOLE
        restored = threading.Timer(0.8, setattr, (proxy, "toxic", Toxic.PASS))
        restored.start()
        assert workers(distant) == 0, "another one is opened, and takes its time"
        restored.join()

    def test_whoever_gives_signs_may_take_longer(self, distant: Database) -> None:
        talk = "RAISE NOTICE 'still here'; PERFORM pg_sleep(0.2);"
        with distant.write() as connection:
            connection.execute(text(f"DO $$ BEGIN FOR i IN 1..5 LOOP {talk} END LOOP; END $$"))
            add_worker(connection, "w")
        assert workers(distant) == 1


def test_connecting_imports_no_driver_that_is_not_needed() -> None:
    look = (
        "import sys; from millrace.db.session import Database; Database.connect('sqlite:///x.db');"
        " print([each for each in ('psycopg', 'alembic', 'torch') if each in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_no_statement_is_compiled(database: Database) -> None:
    with database.read() as connection:
        assert connection.scalar(text("SHOW jit")) == "off"


def test_where_no_connection_is_left_it_is_said_soon(database: Database) -> None:
    """F40: whoever asks over HTTP gets a 503; the heartbeats of a worker have a pool of its own
    process, with three connections for each of its threads.
    """
    with ExitStack() as stack:
        for _ in range(15):
            stack.enter_context(database.read()).execute(text("SELECT 1"))
        began = time.monotonic()
        with pytest.raises(Unavailable, match="no connection left"), database.read():
            pass
        assert time.monotonic() - began < 2 * POOL_SECONDS
    with database.read() as connection:
        assert connection.scalar(text("SELECT 1")) == 1
