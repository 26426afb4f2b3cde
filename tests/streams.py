"""Bytes in memory behind the seam that readers read from."""

from __future__ import annotations

import pyarrow as pa

from millrace.datasets.base import Format, Reject, Rows


class Bytes:
    """An `InputStream` over bytes; `furthest` is how far anybody has read."""

    def __init__(self, content: bytes) -> None:
        self.size = len(content)
        self.furthest = 0
        self.read = 0
        self._content = content

    def read_at(self, offset: int, length: int) -> bytes:
        found = self._content[offset : offset + length]
        self.furthest = max(self.furthest, offset + len(found))
        self.read += len(found)
        return found

    def close(self) -> None:
        """Nothing to close."""


def read(
    form: Format,
    content: bytes,
    start: int = 0,
    end: int = 1 << 62,
    schema: pa.Schema | None = None,
    required: tuple[str, ...] = (),
) -> list[Rows]:
    """All rows of a range, by the schema that `inspect` finds unless there is another."""
    source = Bytes(content)
    wanted = form.inspect(source, "rows").schema if schema is None else schema
    return list(form.read(source, start, end, wanted, required))


def accepted(stretches: list[Rows]) -> list[tuple[int, dict[str, object]]]:
    """Pairs (position in the file, values), in order."""
    return [
        (int(at), values)
        for rows in stretches
        for at, values in zip(rows.position, rows.batch.to_pylist(), strict=True)
    ]


def rejects(stretches: list[Rows]) -> list[Reject]:
    return [reject for rows in stretches for reject in rows.rejects]


def positions(stretches: list[Rows]) -> list[int]:
    """Position of every row, accepted or not, in order of the numbers that they were given."""
    numbered = [
        pair
        for rows in stretches
        for pair in (
            *zip(rows.row.tolist(), rows.position.tolist(), strict=True),
            *((reject.row, reject.position) for reject in rows.rejects),
        )
    ]
    numbered.sort()
    assert [row for row, _ in numbered] == list(range(len(numbered))), "rows are numbered from 0"
    return [position for _, position in numbered]
