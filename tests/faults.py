"""Databases and storage that fail on purpose, at the very edge: real ones behind a switch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection

from millrace.db.session import Database
from millrace.errors import Unavailable
from millrace.storage.base import StoredObject
from millrace.storage.local import LocalFile, LocalStorage

T = TypeVar("T")


def away(what: str) -> Unavailable:
    return Unavailable("AWAY", f"the {what} is away, as the test wants it")


class Switch:
    """Counts calls; those numbered in `before` fail undone, those in `after` fail once done."""

    def __init__(self, before: frozenset[int] = frozenset(), after: frozenset[int] = frozenset()):
        self.calls = 0
        self.before = before
        self.after = after
        self.cut = False

    def call(self) -> int:
        self.calls += 1
        if self.cut or self.calls in self.before:
            raise away("service")
        return self.calls

    def did(self, call: int) -> None:
        if call in self.after:
            raise away("service")


class FaultyDatabase(Database):
    """The database of another `Database`, over a line that may be cut."""

    def __init__(self, real: Database, switch: Switch) -> None:
        super().__init__(real._engine)
        self._switch = switch

    def read(self) -> AbstractContextManager[Connection]:
        return self._through(super().read)

    def write(self, *, durable: bool = True) -> AbstractContextManager[Connection]:
        return self._through(lambda: super(FaultyDatabase, self).write(durable=durable))

    @contextmanager
    def _through(
        self, begin: Callable[[], AbstractContextManager[Connection]]
    ) -> Iterator[Connection]:
        call = self._switch.call()
        with begin() as connection:
            yield connection
        self._switch.did(call)


class FaultyStorage(LocalStorage):
    """Local folders over a line that may be cut; every operation is one call."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch

    def _through(self, operation: Callable[[], T]) -> T:
        call = self._switch.call()
        result = operation()
        self._switch.did(call)
        return result

    def info(self, uri: str) -> StoredObject:
        return self._through(lambda: LocalStorage.info(self, uri))

    def list(self, uri: str) -> Iterator[StoredObject]:
        # from a storage of its own, as listing a folder is one call whatever is in it
        return iter(self._through(lambda: [*LocalStorage().list(uri)]))

    def open(self, pinned: StoredObject) -> LocalFile:
        return self._through(lambda: LocalStorage.open(self, pinned))

    def put(self, spooled: Path, uri: str, sha256: str) -> None:
        self._through(lambda: LocalStorage.put(self, spooled, uri, sha256))

    def settle(self, uris: Collection[str]) -> None:
        self._through(lambda: LocalStorage.settle(self, uris))

    def put_once(self, uri: str, content: bytes) -> bytes:
        return self._through(lambda: LocalStorage().put_once(uri, content))

    def clear_spool(self, folder: str) -> None:
        self._through(lambda: LocalStorage.clear_spool(self, folder))

    def delete(self, uri: str) -> None:
        self._through(lambda: LocalStorage.delete(self, uri))
