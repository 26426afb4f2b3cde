"""The database: reachable, of our version, durable, and of the same time as this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
from sqlalchemy import Connection, select, text
from sqlalchemy.engine import make_url

from millrace.cli.checks.finding import Finding, fail, ok, tried, warn
from millrace.db import migrations
from millrace.db.now import db_now
from millrace.db.session import Database
from millrace.settings import Settings
from millrace.telemetry import redact

_NETWORK_DRIVES = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph"})
_TOLERATED_SECONDS = 5.0


def findings(settings: Settings) -> Iterator[Finding]:
    """What is to be said of the configured database."""
    if settings.is_embedded:
        yield from _of_file(settings)
    else:
        yield from tried("database", lambda: _of_server(settings))


def _of_file(settings: Settings) -> Iterator[Finding]:
    file = Path(make_url(settings.database).database or "")
    kind = _file_system(file)
    if kind in _NETWORK_DRIVES or kind.startswith("fuse."):
        yield fail(
            "database",
            f"{file} is on a network drive ({kind}), where SQLite loses data",
            "put --state on a local disk, or configure a Postgres database_url",
        )
    if not file.exists():
        yield ok("database", f"{file} will be made by the first run")
        return
    yield from tried("database", lambda: _of_database(settings))


def _of_server(settings: Settings) -> Iterator[Finding]:
    yield from _of_database(settings)
    database = Database.connect(settings.database)
    try:
        with database.read() as connection:
            version = connection.scalar(text("SHOW server_version"))
            yield ok("database", f"Postgres {version}")
            yield from _durability(connection)
    finally:
        database.close()


def _of_database(settings: Settings) -> Iterator[Finding]:
    database = Database.connect(settings.database)
    try:
        yield from _clock(database)
        migrations.require_current(database)
        yield ok("schema", f"{redact(settings.database)} is at revision {migrations.HEAD}")
    finally:
        database.close()


def _clock(database: Database) -> Iterator[Finding]:
    asked = time.time()
    with database.read() as connection:
        theirs: float = connection.scalar(select(db_now())) or 0.0
    answered = time.time()
    off = max(theirs - answered, asked - theirs, 0.0)
    seen = f"{off:.1f} s apart, answered in {(answered - asked) * 1000:.0f} ms"
    if off > _TOLERATED_SECONDS:
        advice = "set both by NTP; leases go by the database, but logs cannot be compared"
        yield warn("clock", seen, advice)
    else:
        yield ok("clock", seen)


def _durability(connection: Connection) -> Iterator[Finding]:
    if connection.scalar(text("SHOW fsync")) == "off":
        yield fail(
            "durability",
            "Postgres runs with fsync=off: a power cut can destroy the database",
            "set fsync=on in postgresql.conf",
        )
    if connection.scalar(text("SHOW synchronous_commit")) == "off":
        yield warn(
            "durability",
            "Postgres runs with synchronous_commit=off: a crash can undo what was committed",
            "set synchronous_commit=on; what may be lost is asked for without it anyway",
        )


def _file_system(file: Path) -> str:
    """The kind of file system that a file is on, or would be."""
    place = next(each for each in (file, *file.parents) if each.exists()).resolve()
    mounts = {Path(each.mountpoint): each.fstype for each in psutil.disk_partitions(all=True)}
    return next((mounts[each] for each in (place, *place.parents) if each in mounts), "")
