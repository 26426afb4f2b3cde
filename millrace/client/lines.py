"""JSON lines that arrive in pieces of any size."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


class Lines:
    """Put pieces in, take documents out; memory holds no more than one piece and one line."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []

    def add(self, piece: bytes) -> Iterator[Any]:
        """The documents that are whole now."""
        *ended, rest = piece.split(b"\n")
        for line in ended:
            whole = b"".join((*self._begun, line))
            self._begun.clear()
            if whole:
                yield json.loads(whole)
        if rest:
            self._begun.append(rest)

    def end(self) -> Iterator[Any]:
        """The last document, where no line break is behind it."""
        return self.add(b"\n")
