"""A limit of memory for real processes: in a control group the kernel kills who takes more."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_ROOT = Path("/sys/fs/cgroup")
_PLACES = ((_ROOT / "memory", "memory.limit_in_bytes"), (_ROOT, "memory.max"))


class MemoryLimit:
    """What is in it shares so many bytes; children are born into it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, pids: Iterable[int]) -> None:
        for pid in pids:
            (self._folder / "cgroup.procs").write_text(str(pid))


@contextmanager
def memory_limit(size: int) -> Iterator[MemoryLimit]:
    """A group that is limited to `size` bytes; leaves the test out where we may not make one."""
    for place, limit in _PLACES:
        folder = place / f"millrace-{os.getpid()}"
        try:
            folder.mkdir()
            (folder / limit).write_text(str(size))
        except OSError:
            if folder.exists():
                folder.rmdir()
            continue
        try:
            yield MemoryLimit(folder)
        finally:
            folder.rmdir()
        return
    pytest.skip("no control group of memory may be made here")
