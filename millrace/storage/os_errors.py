"""What the operating system complains of, in words for people."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from millrace.errors import InvalidInput, MillraceError, NotFound, Unavailable

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_IMPOSSIBLE = frozenset({errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EXDEV})
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


@contextmanager
def translated(path: Path | str) -> Iterator[None]:
    """Turn every `OSError` of the block, which works on `path`, into one of our own errors.

    `Unavailable` (STORAGE_FULL, STORAGE_BUSY, STORAGE_ERROR) where trying again may help,
    `InvalidInput` (STORAGE_FORBIDDEN, PATH_NOT_ALLOWED) where it will not, `NotFound` for a
    missing file.
    """
    try:
        yield
    except OSError as error:
        raise _translate(error, str(path)) from error


def _translate(error: OSError, path: str) -> MillraceError:
    reason = error.strerror or str(error)
    match error.errno:
        case errno.ENOENT:
            return NotFound("NOT_FOUND", f"there is no {path}", "check the path")
        case number if number in _FULL:
            return Unavailable(
                "STORAGE_FULL", f"no room to write {path}: {reason}", "free some space and go on"
            )
        case number if number in _FORBIDDEN:
            return InvalidInput(
                "STORAGE_FORBIDDEN", f"not allowed to use {path}: {reason}", "check its permissions"
            )
        case number if number in _IMPOSSIBLE:
            return InvalidInput(
                "PATH_NOT_ALLOWED", f"cannot use {path}: {reason}", "choose another path"
            )
        case number if number in _EXHAUSTED:
            return Unavailable(
                "STORAGE_BUSY", f"cannot open {path}: {reason}", "raise the limit (ulimit -n)"
            )
        case _:
            return Unavailable("STORAGE_ERROR", f"{path}: {reason}", "check the disk and go on")
