"""How a row of the job knows its request: ``LINE:INDEX:COUNT:STYLE:CUSTOM_ID``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RowKey:
    """Text number `index` of the `count` of one request."""

    line: int
    """Of the uploaded file, from 1."""
    index: int
    count: int
    style: str
    custom_id: str

    @classmethod
    def read(cls, text: str) -> RowKey:
        line, index, count, style, custom_id = text.split(":", 4)
        return cls(int(line), int(index), int(count), style, custom_id)

    def written(self) -> str:
        return f"{self.line}:{self.index}:{self.count}:{self.style}:{self.custom_id}"
