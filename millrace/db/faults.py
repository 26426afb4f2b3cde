"""What a database driver's error means for people, and what they can do about it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from millrace.errors import Unavailable


@dataclass(frozen=True, slots=True)
class _Fault:
    code: str
    what: str
    hint: str


_FULL = _Fault("DATABASE_FULL", "has no space left", "free some disk space and try again")
_READ_ONLY = _Fault("DATABASE_READ_ONLY", "cannot be written to", "check its permissions and mount")
_LOCKED = _Fault(
    "DATABASE_LOCKED",
    "stayed locked by another process",
    "end the process that holds it, or try again; a SQLite file must not be on a network drive",
)
_CONTENDED = _Fault("DATABASE_CONTENDED", "gave way to another transaction", "try again")
_SLOW = _Fault("DATABASE_SLOW", "did not answer in time", "see what keeps it busy and try again")
_EXHAUSTED = _Fault(
    "DATABASE_SLOW", "has no connection left for us", "see what keeps it busy and try again"
)
_UNREACHABLE = _Fault(
    "DATABASE_UNREACHABLE", "cannot be reached", "check the URL, and that it is running"
)
_UNOPENABLE = _Fault(
    "DATABASE_UNREACHABLE",
    "cannot be opened",
    "check that its folder exists and may be written to",
)
_DAMAGED = _Fault(
    "DATABASE_DAMAGED", "is no intact database", "restore a backup, or move the file away"
)
_OUTDATED = _Fault("DATABASE_OUTDATED", "lacks our tables", "run: millrace db upgrade")

_SQLITE = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_CANTOPEN: _UNOPENABLE,
    sqlite3.SQLITE_PERM: _UNOPENABLE,
    sqlite3.SQLITE_IOERR: _Fault(
        "DATABASE_IO", "met an input/output error", "check the disk and its free space"
    ),
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}

_POSTGRES = {
    "53100": _FULL,
    "25006": _READ_ONLY,
    "55P03": _LOCKED,
    "40P01": _CONTENDED,
    "40001": _CONTENDED,
    "57014": _SLOW,
    "25P03": _SLOW,
    "42P01": _OUTDATED,
    "42703": _OUTDATED,
}
_POSTGRES_CLASSES_OF_ABSENCE = ("08", "28", "3D", "53", "57", "58")


def translate(error: DBAPIError | PoolTimeout, url: URL) -> Unavailable | None:
    """The `Unavailable` that says it for people; None where the statement itself is at fault."""
    if isinstance(error, PoolTimeout):
        fault: _Fault | None = _EXHAUSTED
    elif isinstance(error.orig, sqlite3.Error):
        fault = _of_sqlite(error.orig)
    else:
        fault = _of_postgres(error)
    if fault is None:
        return None
    place = url.render_as_string(hide_password=True)
    cause = f": {_first_line(error.orig)}" if isinstance(error, DBAPIError) else ""
    return Unavailable(fault.code, f"the database {place} {fault.what}{cause}", fault.hint)


def _of_sqlite(error: sqlite3.Error) -> _Fault | None:
    extended = getattr(error, "sqlite_errorcode", None)
    if extended is None:
        return None
    if str(error).startswith(("no such table", "no such column")):
        return _OUTDATED
    return _SQLITE.get(extended & 0xFF)


def _of_postgres(error: DBAPIError) -> _Fault | None:
    state = getattr(error.orig, "sqlstate", None)
    if state is None:
        lost = error.connection_invalidated or type(error.orig).__name__ == "OperationalError"
        return _UNREACHABLE if lost and not isinstance(error, IntegrityError) else None
    if state in _POSTGRES:
        return _POSTGRES[state]
    return _UNREACHABLE if state.startswith(_POSTGRES_CLASSES_OF_ABSENCE) else None


def _first_line(cause: BaseException | None) -> str:
    return str(cause).partition("\n")[0]
