"""Brings a database up to date, from a checkout as from an installed wheel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from millrace.db.session import Database
from millrace.errors import Conflict, Unavailable

if TYPE_CHECKING:
    from alembic.config import Config

HEAD = "0005"
"""The newest revision, kept here so that looking does not import Alembic."""

_UPGRADE_LOCK = 0x6D696C6C
_PACKAGED = Path(__file__).parent / "alembic"
_CHECKOUT = Path(__file__).parents[2] / "alembic"


def is_current(database: Database) -> bool:
    """Whether the database has exactly the tables that this version of the code expects."""
    with database.read() as connection:
        return _revision(connection) == HEAD


def require_current(database: Database) -> None:
    """`Unavailable` for a database that waits for an upgrade, `Conflict` for a newer one."""
    with database.read() as connection:
        revision = _revision(connection)
    if revision is None or revision < HEAD:
        raise Unavailable(
            "DATABASE_OUTDATED",
            f"the database has revision {revision or 'none'}, this version needs {HEAD}",
            "run: millrace db upgrade",
        )
    if revision != HEAD:
        raise _newer(revision)


def upgrade(url: str) -> None:
    """Create or migrate all tables in one transaction; does nothing where they are current.

    Any number of processes may do so at once. Raises `Conflict` for a database of a newer version,
    `Unavailable` where it cannot be reached or written to.
    """
    database = Database.connect(url)
    try:
        if not is_current(database):
            with database.write() as connection:
                _upgrade(connection)
    finally:
        database.close()


def config() -> Config:
    """Alembic's configuration, with our scripts wherever they are installed."""
    from alembic.config import Config

    configured = Config()
    scripts = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
    configured.set_main_option("script_location", str(scripts).replace("%", "%%"))
    return configured


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory

    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL lock_timeout = '60s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
    configured = config()
    configured.attributes["connection"] = connection
    revision = _revision(connection)
    known = {each.revision for each in ScriptDirectory.from_config(configured).walk_revisions()}
    if revision is not None and revision not in known:
        raise _newer(revision)
    command.upgrade(configured, "head")


def _newer(revision: str) -> Conflict:
    return Conflict(
        "DATABASE_NEWER",
        f"the database has revision {revision}, this version of Millrace knows up to {HEAD}",
        "upgrade Millrace on this machine, or use another database",
    )


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if revision is None else str(revision)
