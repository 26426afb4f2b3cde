"""Warnings that services write into their logs, shown where somebody sits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

_GRAVE = frozenset({"warning", "error", "critical"})
_LAST_WORDS = "millrace: "
_LARGE = 16 << 20


class WarningsLog:
    """One log of JSON lines that others write; `fresh` may be asked again and again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._put_aside()
        self._read = path.stat().st_size if path.exists() else 0
        self._begun = b""

    def fresh(self) -> Iterator[str]:
        """Each warning, error and last word of a command that was added since."""
        if not self._path.exists():
            return
        with self._path.open("rb") as log:
            log.seek(self._read)
            added = log.read()
            self._read = log.tell()
        *lines, self._begun = (self._begun + added).split(b"\n")
        for line in lines:
            if told := _told(line):
                yield told

    def _put_aside(self) -> None:
        """Begin a new log where the old one is large; the one before that is forgotten."""
        if self._path.exists() and self._path.stat().st_size > _LARGE:
            self._path.rename(self._path.with_suffix(".log.1"))


def _told(line: bytes) -> str:
    text = line.decode(errors="replace").strip()
    try:
        record = json.loads(text)
        level, message = record["level"], record["message"]
    except (ValueError, KeyError, TypeError):
        return text if text.startswith(_LAST_WORDS) else ""
    return f"{level}: {message}" if level in _GRAVE else ""
