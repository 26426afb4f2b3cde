"""The proof that no row between two chunks is lost or read twice, from what each of them has read.

The first row of an input starts at its position 0. Whoever reads a row also learns where the next
one starts, and there the next chunk that has any row must begin; a chunk without one is right where
that is behind it. So two readers, often on two machines and at two times, agree on each seam.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from millrace.datasets.base import UNKNOWN_EXTENT
from millrace.error_records import readings
from millrace.errors import UnsoundResults
from millrace.lifecycle.queries import SettledChunk
from millrace.types import Input, Reading


def check_seams(settled: Iterable[SettledChunk], inputs: Sequence[Input]) -> None:
    """`UnsoundResults` ROWS_TORN with the chunks around each seam that does not hold.

    What nobody can tell is not checked: what follows a row that kills or one of excessive length,
    the end of a compressed file, and formats that tell no positions.
    """
    seams = {source.index: _Seam(source) for source in inputs}
    torn: dict[int, str] = {}
    for chunk in settled:
        for reading in readings(chunk, inputs):
            torn |= seams[reading.index].meet(chunk.idx, reading)
    for seam in seams.values():
        torn |= seam.close()
    if torn:
        raise UnsoundResults("ROWS_TORN", next(iter(torn.values())), torn)


@dataclass(slots=True)
class _Seam:
    source: Input
    expected: int | None = 0
    """Where the next row starts, as far as anybody has told."""
    chunks: list[int] = field(default_factory=list)
    """Who told so, and those behind that have no row."""

    def meet(self, idx: int, reading: Reading) -> dict[int, str]:
        """What is wrong, by chunk, where `reading` does not begin with the row that is expected."""
        self.chunks.append(idx)
        if reading.start is None and not reading.rows:
            return {}
        torn = {} if reading.start is None else self._against(reading.start)
        self.expected, self.chunks = reading.end, [idx]
        return torn

    def close(self) -> dict[int, str]:
        """The same at the end of the input, where no row is expected."""
        whole = self.source.extent
        return {} if whole == UNKNOWN_EXTENT else self._against(whole)

    def _against(self, start: int) -> dict[int, str]:
        if self.expected in (None, start):
            return {}
        said = (
            f"{self.source.uri}: a row starts at {self.expected}, but the next one that was read "
            f"starts at {start}"
        )
        return dict.fromkeys(self.chunks, said)
