"""Spooled files of storage that is no folder: private, in the folder for temporary files."""

from __future__ import annotations

import os
import re
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from millrace.storage.os_errors import translated

_NAME = re.compile(r"millrace-(?P<host>.+)-(?P<pid>\d+)-[0-9a-f]{16}\.spool")


@contextmanager
def temporary_spool() -> Iterator[Path]:
    """A new empty file that only we may read, below ``TMPDIR``; gone afterwards."""
    folder = Path(tempfile.gettempdir())
    path = folder / f"millrace-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(8)}.spool"
    with translated(path):
        _remove_orphans(folder)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _remove_orphans(folder: Path) -> None:
    """Remove what processes of this host that were killed have left."""
    for path in folder.glob("millrace-*.spool"):
        match = _NAME.fullmatch(path.name)
        ours = match is not None and match["host"] == socket.gethostname()
        if match is not None and ours and not psutil.pid_exists(int(match["pid"])):
            with suppress(OSError):
                path.unlink()
