"""Transactions on the state database, SQLite or Postgres, from any thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, Engine, create_engine, event, make_url
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from millrace.db.faults import translate
from millrace.errors import InvalidInput, Unavailable

T = TypeVar("T")

BUSY_SECONDS = 30
POOL_SECONDS = 5
"""How long to wait for a connection of ours that is free."""
SILENCE_SECONDS = 75.0
"""How long to listen to a Postgres that says nothing; it gives up a statement itself after 60."""
_TRIES = 4
# All our statements are short: compiling one takes longer than running it (340 ms against 17 ms
# for a look at a thousand jobs).
_POSTGRES_OPTIONS = (
    "-c statement_timeout=60s -c lock_timeout=10s -c idle_in_transaction_session_timeout=30s"
    " -c jit=off"
)


class Database:
    """One state database. Every transaction has its own connection, so threads may share it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def connect(cls, url: str) -> Database:
        """A database by its SQLAlchemy URL (``sqlite:///FILE`` or ``postgresql+psycopg://…``).

        Nothing is opened before the first transaction. Raises `InvalidInput` for another URL.
        """
        parsed = _parse(url)
        if parsed.get_backend_name() == "sqlite":
            return cls(_sqlite(parsed))
        return cls(_postgres(parsed))

    def read(self) -> AbstractContextManager[Connection]:
        """One consistent snapshot; writing in it is an error."""
        return self._transaction(_READ)

    def write(self, *, durable: bool = True) -> AbstractContextManager[Connection]:
        """One transaction that commits at the end of the block, or rolls back on an exception.

        Without `durable` it may be undone by a power cut (never by the death of a process):
        enough for what can be done again, such as heartbeats.
        """
        return self._transaction(_WRITE_DURABLE if durable else _WRITE)

    def transact(self, verb: Callable[[Connection], T], *, durable: bool = True) -> T:
        """Run `verb` in a write transaction, again where the database chose it to end a deadlock.

        Only faults after which nothing was written are tried again, never an unknown outcome.
        """
        for _ in range(_TRIES - 1):
            try:
                with self.write(durable=durable) as connection:
                    return verb(connection)
            except Unavailable as unavailable:
                if unavailable.code != "DATABASE_CONTENDED":
                    raise
        with self.write(durable=durable) as connection:
            return verb(connection)

    def close(self) -> None:
        """Close idle connections; those in use close at the end of their transaction."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, options: dict[str, object]) -> Iterator[Connection]:
        try:
            with (
                self._engine.connect().execution_options(**options) as connection,
                connection.begin(),
            ):
                yield connection
        except (DBAPIError, PoolTimeout) as error:
            unavailable = translate(error, self._engine.url)
            if unavailable is None:
                raise
            raise unavailable from error


_READ: dict[str, object] = {"begin": "READ"}
_WRITE: dict[str, object] = {"begin": "WRITE"}
_WRITE_DURABLE: dict[str, object] = {"begin": "WRITE DURABLE"}


def _parse(url: str) -> URL:
    hint = "use sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise InvalidInput("DATABASE_URL", f"not a database URL: {error}", hint) from error
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite", "postgresql+psycopg"):
        raise InvalidInput("DATABASE_URL", f"cannot use a {parsed.drivername!r} database", hint)
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise InvalidInput("DATABASE_URL", "a SQLite database must be a file", hint)
    return parsed


def _sqlite(url: URL) -> Engine:
    # With isolation_level None the driver leaves BEGIN to us; its own transactions start too late
    # to protect a read-then-write and were seen to hand one chunk to two workers.
    engine = create_engine(
        url,
        pool_timeout=POOL_SECONDS,
        connect_args={
            "isolation_level": None,
            "timeout": BUSY_SECONDS,
            "check_same_thread": False,
        },
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    begin = connection.get_execution_options()["begin"]
    synchronous = "FULL" if begin == "WRITE DURABLE" else "NORMAL"
    connection.exec_driver_sql(f"PRAGMA query_only={'ON' if begin == 'READ' else 'OFF'}")
    connection.exec_driver_sql(f"PRAGMA synchronous={synchronous}")
    connection.exec_driver_sql("BEGIN" if begin == "READ" else "BEGIN IMMEDIATE")


def _postgres(url: URL) -> Engine:
    try:
        engine = create_engine(
            url,
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
            pool_timeout=POOL_SECONDS,
            connect_args={
                "connect_timeout": 10,
                # a host that vanished is noticed in half a minute, not in a quarter of an hour
                "keepalives_idle": 30,
                "keepalives_interval": 10,
                "keepalives_count": 3,
                "tcp_user_timeout": 30_000,
                "options": _POSTGRES_OPTIONS,
            },
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise InvalidInput(
            "DATABASE_DRIVER", "the Postgres driver is missing", "pip install 'millrace[postgres]'"
        ) from error
    event.listen(engine, "do_connect", partial(_connect_postgres, SILENCE_SECONDS))
    event.listen(engine, "begin", _begin_postgres)
    return engine


def _connect_postgres(
    silence: float,
    dialect: Dialect,
    entry: ConnectionPoolEntry,
    arguments: tuple[str, ...],
    options: dict[str, Any],
) -> Any:
    # the driver takes a while to import, and SQLite needs none
    from millrace.db.attentive import AttentiveConnection

    connection = AttentiveConnection.connect(*arguments, **options)
    connection.silence = silence
    return connection


def _begin_postgres(connection: Connection) -> None:
    begin = connection.get_execution_options()["begin"]
    if begin == "READ":
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    elif begin == "WRITE":
        connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")
