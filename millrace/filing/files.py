"""Verbs and questions on files."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from millrace.db import filing_tables
from millrace.db.now import db_now
from millrace.errors import NotFound


class Purpose(StrEnum):
    BATCH = "batch"
    BATCH_OUTPUT = "batch_output"


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file whose bytes are stored already."""

    id: str
    tenant: str
    purpose: Purpose
    filename: str
    bytes: int
    sha256: str
    uri: str


@dataclass(frozen=True, slots=True)
class FileView(NewFile):
    """One file as it is listed; times in seconds since the epoch."""

    created_at: float


def add(conn: Connection, new: NewFile, *, now: float | None = None) -> FileView:
    """List a file from this transaction on."""
    file = filing_tables.file
    row = asdict(new) | {"created_at": db_now(now)}
    conn.execute(insert(file).values(row))
    return known(conn, new.id, tenant=new.tenant)


def known(conn: Connection, file_id: str, *, tenant: str | None) -> FileView:
    """The file of this id; `NotFound` where there is none, or where it is not of that tenant."""
    file = filing_tables.file
    row = conn.execute(select(file).where(file.c.id == file_id)).one_or_none()
    if row is None or tenant not in (None, row.tenant):
        raise no_such_file(file_id)
    return _view(row)


def page(
    conn: Connection,
    *,
    tenant: str | None,
    limit: int,
    after: str | None = None,
    newest_first: bool = True,
    purpose: Purpose | None = None,
) -> list[FileView]:
    """Files of one tenant, or all, `limit` at a time; `after` is the last id of the page before."""
    file = filing_tables.file
    found = select(file).limit(limit)
    found = found.order_by(file.c.id.desc() if newest_first else file.c.id)
    if after is not None:
        found = found.where(file.c.id < after if newest_first else file.c.id > after)
    if tenant is not None:
        found = found.where(file.c.tenant == tenant)
    if purpose is not None:
        found = found.where(file.c.purpose == purpose.value)
    return [_view(row) for row in conn.execute(found)]


def remove(conn: Connection, file_id: str) -> None:
    """List a file no more."""
    conn.execute(delete(filing_tables.file).where(filing_tables.file.c.id == file_id))


def no_such_file(file_id: str) -> NotFound:
    """The answer to an id that no file has."""
    return NotFound("FILE_NOT_FOUND", f"there is no file {file_id!r}", "GET /v1/files lists yours")


def _view(row: Row[Any]) -> FileView:
    return FileView(**dict(row._mapping) | {"purpose": Purpose(row.purpose)})
