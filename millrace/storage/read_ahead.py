"""Reading a distant object in order, with several requests under way at a time.

Whoever reads on from where he stopped gets blocks fetched ahead of him, never further ahead than
a quarter of what he has read: a chunk ends where only its reader knows, and what lies beyond would
be fetched for nothing. Reads anywhere else fetch exactly what was asked.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

from millrace.storage.base import InputStream

BLOCK_BYTES = 8 << 20
"""The largest piece that is fetched at once."""
THREADS = 4

_LEAST_BYTES = 1 << 20
_LAG = 4


@dataclass(frozen=True, slots=True)
class _Block:
    start: int
    end: int
    content: Future[bytes]


class ReadAhead:
    """An `InputStream` over another one, which several threads may read at a time.

    Holds at most `THREADS` blocks of at most `BLOCK_BYTES`, besides what is being read.
    """

    def __init__(self, source: InputStream) -> None:
        self.size = source.size
        self._source = source
        self._one_at_a_time = Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._blocks: deque[_Block] = deque()
        self._place = 0
        """Where a reader would read on."""
        self._in_order = 0
        """How much was read in order, up to that place."""
        self._kept, self._kept_at = b"", 0
        """What was read last; readers of lines go back a little."""

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly the bytes ``[offset, offset + length)``, fewer only at the end of the object."""
        with self._one_at_a_time:
            return self._read(offset, length)

    def _read(self, offset: int, length: int) -> bytes:
        first, end = offset, min(offset + length, self.size)
        pieces = [self._again(first, end)]
        offset += len(pieces[0])
        if offset >= end:
            return pieces[0]
        if offset != self._place:
            self._forget()
        while offset < end and self._blocks and self._blocks[0].start <= offset:
            pieces.append(self._take(offset, end))
            offset += len(pieces[-1])
        if offset < end:
            pieces.append(self._source.read_at(offset, end - offset))
        self._advance(end, sum(map(len, pieces[1:])))
        self._kept, self._kept_at = b"".join(pieces), first
        return self._kept

    def close(self) -> None:
        self._forget()
        self._source.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _again(self, start: int, end: int) -> bytes:
        """What the last read holds from `start` on."""
        first = start - self._kept_at
        return self._kept[first : max(first, end - self._kept_at)] if first >= 0 else b""

    def _take(self, offset: int, end: int) -> bytes:
        """The bytes from `offset` up to `end` or to the end of the first block."""
        block = self._blocks[0]
        piece = block.content.result()[offset - block.start : end - block.start]
        if end >= block.end:
            self._blocks.popleft()
        return piece

    def _advance(self, place: int, length: int) -> None:
        self._place = place
        self._in_order += length
        reach = min(self.size, place + min(self._in_order // _LAG, THREADS * BLOCK_BYTES))
        start = self._blocks[-1].end if self._blocks else place
        step = min(BLOCK_BYTES, max(_LEAST_BYTES, self._in_order // (_LAG * THREADS)))
        while len(self._blocks) < THREADS and start < reach:
            if start + step > reach and reach < self.size:
                return
            self._fetch(start, min(start + step, reach))
            start += step

    def _fetch(self, start: int, end: int) -> None:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="read-ahead")
        content = self._threads.submit(self._source.read_at, start, end - start)
        self._blocks.append(_Block(start, end, content))

    def _forget(self) -> None:
        for block in self._blocks:
            block.content.cancel()
        self._blocks.clear()
        self._in_order = 0
