"""A folder of the local machine as storage.

An object's version is its modification time and inode: any rewrite or replacement changes one of
them. Publishing is a hard link: it never overwrites, so the first writer of a name wins, and what
has a final name is whole. Parts are synced in groups by `settle`, which saves most of the waiting
for the disk; what is put once is synced before it gets its name, and its name after that.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from millrace.errors import Conflict, InputChanged, InvalidInput, NotFound
from millrace.failpoints import failpoint
from millrace.storage.base import StoredObject
from millrace.storage.os_errors import translated
from millrace.storage.spooled import digest_of, refuse_corrupt
from millrace.storage.sync import sync, sync_all
from millrace.storage.uri import join, local_path

_SPOOL = ".spool-"


class LocalStorage:
    """`Storage` for ``file://`` URIs."""

    def info(self, uri: str) -> StoredObject:
        """What is there; `NotFound` for nothing, `InvalidInput` for what is no regular file."""
        path = local_path(uri)
        with translated(path):
            return _pin(uri, os.stat(path))

    def list(self, uri: str) -> Iterator[StoredObject]:
        """All files below a folder, sorted by URI, without names that start with ``.`` or ``_``."""
        yield from sorted(self._walk(uri), key=lambda found: found.uri)

    def _walk(self, folder: str) -> Iterator[StoredObject]:
        path = local_path(folder)
        with translated(path):
            if not path.is_dir():
                return
            names = [entry.name for entry in os.scandir(path) if entry.name[0] not in "._"]
        for name in names:
            child = join(folder, name)
            found = local_path(child)
            if found.is_symlink() and not found.is_file():
                raise InvalidInput(
                    "LINK_NOT_FOLLOWED",
                    f"{found} is a link to a folder or to nothing",
                    "name its target as an input of its own, or remove it",
                )
            if found.is_dir():
                yield from self._walk(child)
            else:
                with suppress(NotFound):
                    yield self.info(child)

    def open(self, pinned: StoredObject) -> LocalFile:
        """Open for reading; `InputChanged` where size or version are no longer the pinned ones."""
        return LocalFile(pinned)

    @contextmanager
    def spool(self, folder: str) -> Iterator[Path]:
        """A hidden file inside `folder`, which is created; gone afterwards."""
        parent = local_path(folder)
        path = parent / f"{_SPOOL}{secrets.token_hex(8)}"
        with translated(path):
            _make_folder(parent)
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666))
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def clear_spool(self, folder: str) -> None:
        """Remove spooled files that processes which were killed have left in `folder`."""
        for path in local_path(folder).glob(f"{_SPOOL}*"):
            with translated(path):
                path.unlink(missing_ok=True)

    def put(self, spooled: Path, uri: str, sha256: str) -> None:
        """Publish a spooled file under a new name, whole or not at all; durable once `settle`d.

        Finding the same content there already is success; other content is `Conflict`.
        `Unavailable` where the spooled bytes are not the ones that were hashed.
        """
        refuse_corrupt(spooled, sha256)
        failpoint("s.before_put")
        if _link(spooled, local_path(uri)):
            failpoint("s.after_put")
            return
        if digest_of(local_path(uri)) != sha256:
            raise Conflict(
                "OUTPUT_CONFLICT",
                f"{local_path(uri)} exists and has other content",
                "choose another output folder",
            )

    def settle(self, uris: Collection[str]) -> None:
        """Sync these files and the folders that hold their names."""
        paths = [local_path(uri) for uri in uris]
        folders = {path.parent for path in paths}
        with translated(", ".join(map(str, folders))):
            failpoint("s.before_settle")
        sync_all(paths)
        sync_all(folders)

    def put_once(self, uri: str, content: bytes) -> bytes:
        """Create a small object if there is none; returns the bytes that are there afterwards."""
        with self.spool(uri.rpartition("/")[0]) as spooled:
            with translated(spooled):
                spooled.write_bytes(content)
            failpoint("s.before_put_once")
            final = local_path(uri)
            with translated(final):
                sync(spooled)
                _link(spooled, final)
                sync(final.parent)
        failpoint("s.after_put_once")
        return self.read(uri)

    def exclusive(self, folder: str) -> bool:
        """Always: a link never overwrites."""
        return True

    def read(self, uri: str) -> bytes:
        """A small object whole; `NotFound` where there is none."""
        source = LocalFile(self.info(uri))
        try:
            return source.read_at(0, source.size)
        finally:
            source.close()

    def delete(self, uri: str) -> None:
        """Remove an object; that there is none is success."""
        path = local_path(uri)
        with translated(path):
            path.unlink(missing_ok=True)


class LocalFile:
    """One pinned local file; every read checks that it still is what was pinned."""

    def __init__(self, pinned: StoredObject) -> None:
        self.size = pinned.size
        self._pinned = pinned
        self._path = local_path(pinned.uri)
        try:
            with translated(self._path):
                # Without O_NONBLOCK a FIFO put in the file's place would hang us here.
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except NotFound as error:
            raise InputChanged(
                "INPUT_GONE", f"{self._path} is gone", "put it back or start a new job"
            ) from error
        try:
            self._check()
        except BaseException:
            self.close()
            raise

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly the bytes ``[offset, offset + length)``, fewer only at the end of the file."""
        wanted = max(0, min(length, self.size - offset))
        self._check()
        with translated(self._path):
            content = os.pread(self._fd, wanted, offset)
            while len(content) < wanted:
                more = os.pread(self._fd, wanted - len(content), offset + len(content))
                if not more:
                    raise _changed(self._path, f"{self.size} bytes", "less")
                content += more
        self._check()
        return content

    def close(self) -> None:
        os.close(self._fd)

    def _check(self) -> None:
        found = _pin(self._pinned.uri, os.fstat(self._fd))
        if found != self._pinned:
            raise _changed(
                self._path,
                f"{self._pinned.size} bytes, version {self._pinned.version}",
                f"{found.size} bytes, version {found.version}",
            )


def _changed(path: Path, pinned: str, found: str) -> InputChanged:
    return InputChanged(
        "INPUT_CHANGED",
        f"{path} changed: it was {pinned}; it now has {found}",
        "leave inputs alone while a job runs; start a new job for the new content",
    )


def _pin(uri: str, found: os.stat_result) -> StoredObject:
    if stat.S_ISDIR(found.st_mode):
        raise InvalidInput(
            "IS_A_FOLDER", f"{local_path(uri)} is a folder, not a file", "name a file in it"
        )
    if not stat.S_ISREG(found.st_mode):
        raise InvalidInput(
            "NOT_A_REGULAR_FILE",
            f"{local_path(uri)} is a device, pipe or socket, not a regular file",
            "name a regular file",
        )
    return StoredObject(uri, found.st_size, f"{found.st_mtime_ns}-{found.st_ino}")


def _link(spooled: Path, final: Path) -> bool:
    """Give a spooled file its final name; false where the name is taken."""
    with translated(final):
        _make_folder(final.parent)
        try:
            os.link(spooled, final)
        except FileExistsError:
            return False
        spooled.unlink()
        return True


def _make_folder(folder: Path) -> None:
    """Create a folder with its parents so that they survive a power cut."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir()
    sync(folder.parent)
