"""Files as one tenant sees them: the only door through which the API reaches them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Connection

from millrace import storage
from millrace.access import audit
from millrace.access.caller import Caller
from millrace.db.session import Database
from millrace.errors import FieldInvalid, InvalidInput
from millrace.filing import files
from millrace.filing.files import FileView, NewFile, Purpose
from millrace.front.openai.places import file_uri
from millrace.ids import new_id
from millrace.settings import Settings
from millrace.storage.base import blocks
from millrace.storage.os_errors import translated

MOST_NAME_CHARACTERS = 255

_ID = re.compile(r"file-[0-9a-f]{32}", re.ASCII)
_BLOCK_BYTES = 1 << 20


class FileShelf:
    """What one caller may do with files: those of their tenant; an administrator with all."""

    def __init__(self, database: Database, settings: Settings, caller: Caller) -> None:
        self._database = database
        self._settings = settings
        self._caller = caller
        self._tenant = None if caller.sees_all else caller.tenant

    def take(self, source: BinaryIO, filename: str, purpose: str) -> FileView:
        """Store what `source` gives, a block at a time, and list it.

        `FieldInvalid` for a purpose or name that cannot be, `InvalidInput` for what is too large.
        """
        _check(filename, purpose)
        file_id = f"file-{new_id()}"
        uri = file_uri(self._settings, self._caller.tenant, file_id)
        store = storage.for_uri(uri)
        with store.spool(uri.rpartition("/")[0]) as spooled:
            size, sha256 = self._copied(source, spooled)
            store.put(spooled, uri, sha256)
        store.settle([uri])
        new = NewFile(file_id, self._caller.tenant, Purpose.BATCH, filename, size, sha256, uri)

        def add(connection: Connection) -> FileView:
            audit.record(
                connection, self._caller, "file.create", f"file:{file_id}", {"bytes": size}
            )
            return files.add(connection, new)

        return self._database.transact(add)

    def page(
        self, *, limit: int, after: str | None, newest_first: bool, purpose: Purpose | None
    ) -> list[FileView]:
        """A page of files."""
        with self._database.read() as connection:
            return files.page(
                connection,
                tenant=self._tenant,
                limit=limit,
                after=after,
                newest_first=newest_first,
                purpose=purpose,
            )

    def file(self, file_id: str) -> FileView:
        """One file; `NotFound` where it is not there, or not theirs."""
        with self._database.read() as connection:
            return self._own(connection, file_id)

    def content(self, file_id: str) -> tuple[FileView, Iterator[bytes]]:
        """The file and its bytes, a block at a time."""
        found = self.file(file_id)
        return found, _content(found)

    def delete(self, file_id: str) -> FileView:
        """Remove a file for good; batches over it go on, and what they gave stays.

        The bytes go first: one that is interrupted can be deleted once more.
        """
        found = self.file(file_id)
        storage.for_uri(found.uri).delete(found.uri)

        def remove(connection: Connection) -> None:
            self._own(connection, file_id)
            files.remove(connection, file_id)
            audit.record(connection, self._caller, "file.delete", f"file:{file_id}")

        self._database.transact(remove)
        return found

    def _own(self, conn: Connection, file_id: str) -> FileView:
        if not _ID.fullmatch(file_id):
            raise files.no_such_file(file_id[:64])
        return files.known(conn, file_id, tenant=self._tenant)

    def _copied(self, source: BinaryIO, spooled: Path) -> tuple[int, str]:
        """Size and SHA-256 of what was copied."""
        digest, size, most = hashlib.sha256(), 0, self._settings.max_file_bytes
        with translated(spooled), spooled.open("wb") as target:
            while block := source.read(_BLOCK_BYTES):
                size += len(block)
                if size > most:
                    raise InvalidInput(
                        "FILE_TOO_LARGE",
                        f"the file is larger than {most:,} bytes",
                        "split it, or ask an operator for another max_file_bytes",
                    )
                digest.update(block)
                target.write(block)
        if not size:
            raise FieldInvalid("file", "the file is empty", "send one JSON object per line")
        return size, digest.hexdigest()


def _content(found: FileView) -> Iterator[bytes]:
    store = storage.for_uri(found.uri)
    with closing(store.open(store.info(found.uri))) as source:
        yield from blocks(source)


def _check(filename: str, purpose: str) -> None:
    if purpose != Purpose.BATCH:
        raise FieldInvalid("purpose", f"{purpose[:40]!r} is no purpose here", "use 'batch'")
    if not filename.isprintable() or not 0 < len(filename) <= MOST_NAME_CHARACTERS:
        raise FieldInvalid(
            "file",
            f"a file name has 1 to {MOST_NAME_CHARACTERS} characters that can be printed",
            "rename it; the name is only shown",
        )
