"""An `InputStream` as the file object that Arrow reads from."""

from __future__ import annotations

import io

import pyarrow as pa

from millrace.storage.base import InputStream


class StreamFile(io.RawIOBase):
    """Read-only and seekable; `consumed` is the furthest byte that was read."""

    def __init__(self, source: InputStream) -> None:
        super().__init__()
        self._source = source
        self._place = 0
        self.consumed = 0

    def read(self, size: int | None = -1) -> bytes:
        left = self._source.size - self._place
        content = self._source.read_at(self._place, left if size is None or size < 0 else size)
        self._place += len(content)
        self.consumed = max(self.consumed, self._place)
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._source.size}[whence]
        self._place = base + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def arrow(self) -> pa.PythonFile:
        return pa.PythonFile(self, mode="r")
