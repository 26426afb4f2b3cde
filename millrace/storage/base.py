"""The seam to bytes: pinned reads, immutable writes, one conditional put."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One stored object. `version` changes whenever its content may have changed."""

    uri: str
    size: int
    version: str


class InputStream(Protocol):
    """Random access to one pinned object. Every read may raise `InputChanged`."""

    size: int

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly the bytes ``[offset, offset + length)``, fewer only at the end of the object."""
        ...

    def close(self) -> None: ...


class Storage(Protocol):
    """One implementation per scheme; URIs are absolute and compared as they are."""

    def info(self, uri: str) -> StoredObject:
        """What is there; `NotFound` for nothing, `InvalidInput` for what is no regular object."""
        ...

    def list(self, uri: str) -> Iterator[StoredObject]:
        """All objects below a folder or prefix, sorted by URI; none where there is no folder."""
        ...

    def open(self, pinned: StoredObject) -> InputStream:
        """Open for reading; `InputChanged` where size or version are no longer the pinned ones."""
        ...

    def spool(self, folder: str) -> AbstractContextManager[Path]:
        """A private local file, to be written and then `put` into `folder`; gone afterwards."""
        ...

    def clear_spool(self, folder: str) -> None:
        """Remove spooled files that processes which were killed have left in `folder`."""
        ...

    def put(self, spooled: Path, uri: str, sha256: str) -> None:
        """Publish a spooled file under a new name, whole or not at all; durable once `settle`d.

        Finding the same content there already is success; other content is `Conflict`.
        """
        ...

    def settle(self, uris: Collection[str]) -> None:
        """Make what was `put` under these names outlast a power cut.

        After an error nobody knows what is there, also where it succeeds when tried again: what was
        to be settled has to be made anew.
        """
        ...

    def put_once(self, uri: str, content: bytes) -> bytes:
        """Create a small object if there is none; returns the bytes that are there afterwards."""
        ...

    def exclusive(self, folder: str) -> bool:
        """Whether, below `folder`, one of several that `put_once` at the same moment always wins.

        Where not, only a writer who comes later is sure to find what is there.
        """
        ...

    def read(self, uri: str) -> bytes:
        """A small object whole; `NotFound` where there is none."""
        ...

    def delete(self, uri: str) -> None:
        """Remove an object; that there is none is success."""
        ...


_BLOCK_BYTES = 1 << 20


def blocks(source: InputStream) -> Iterator[bytes]:
    """All of a stream from its start, in pieces of 1 MiB."""
    for offset in range(0, source.size, _BLOCK_BYTES):
        yield source.read_at(offset, _BLOCK_BYTES)
