"""Making bytes and names survive a power cut."""

from __future__ import annotations

import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from millrace.storage.os_errors import translated

_AT_ONCE = 8


def sync(path: Path) -> None:
    """fsync a file, or a folder for the names in it; raises `OSError`."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_all(paths: Collection[Path]) -> None:
    """`sync` for several; raises our own errors.

    Those that wait for the disk at the same time share a write of the file system's journal.
    """
    if len(paths) < 2:
        for path in paths:
            _sync(path)
        return
    with ThreadPoolExecutor(min(_AT_ONCE, len(paths)), thread_name_prefix="sync") as pool:
        for done in [pool.submit(_sync, path) for path in paths]:
            done.result()


def _sync(path: Path) -> None:
    with translated(path):
        sync(path)
