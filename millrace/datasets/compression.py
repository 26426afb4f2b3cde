"""Compressed line files, read as the stream that they decode to.

Positions are bytes of the decoded stream, so the line reader works on any range of it; a range in
the middle is reached by decoding from the start. That is why the planner never cuts such a
file: only a crash narrows a chunk down to ranges inside one.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import pyarrow as pa

from millrace.datasets.base import UNKNOWN_EXTENT
from millrace.datasets.stream_file import StreamFile
from millrace.errors import InvalidInput
from millrace.storage.base import InputStream

Codec: TypeAlias = Literal["gzip", "zstd"]

SUFFIXES: dict[str, Codec] = {".gz": "gzip", ".zst": "zstd"}
MAX_RATIO = 200
RATIO_FLOOR = 64 << 20
"""Decoded bytes below which any ratio is fine."""

_SKIP = 1 << 20


def codec_of(head: bytes) -> Codec | None:
    """What the first four bytes of a file say; no text in UTF-8 starts like that."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    return "zstd" if head.startswith(b"\x28\xb5\x2f\xfd") else None


def decoded(source: InputStream) -> InputStream:
    """`source` itself, or the stream that it decodes to."""
    codec = codec_of(source.read_at(0, 4))
    return source if codec is None else Decoded(source, codec)


class Decoded:
    """The decoded bytes of a compressed file: cheap forwards, from the start again backwards.

    `InvalidInput` DATASET_TRUNCATED or DATASET_CORRUPT for a broken stream, DECOMPRESSION_LIMIT for
    one that grows to more than `max_ratio` times its size (beyond `floor` bytes).
    """

    def __init__(
        self,
        source: InputStream,
        codec: Codec,
        max_ratio: int = MAX_RATIO,
        floor: int = RATIO_FLOOR,
    ) -> None:
        self.size = UNKNOWN_EXTENT
        self.codec = codec
        self._source = source
        self._max_ratio = max_ratio
        self._floor = floor
        self._kept = b""
        self._kept_at = 0
        self._rewind()

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly the decoded bytes ``[offset, offset + length)``, fewer only at the end."""
        if offset < self._kept_at:
            self._rewind()
        while offset > self._place and self._advance(min(_SKIP, offset - self._place)):
            pass
        if offset > self._place:
            return b""
        if offset + length > self._place:
            tail = self._kept[offset - self._kept_at :]
            self._advance(offset + length - self._place)
            self._kept, self._kept_at = tail + self._kept, offset
        first = offset - self._kept_at
        return self._kept[first : first + length]

    @property
    def ratio(self) -> float:
        """Decoded bytes per compressed byte so far."""
        return self._place / max(1, self._file.consumed)

    def close(self) -> None:
        self._source.close()

    def _rewind(self) -> None:
        self._file = StreamFile(self._source)
        self._stream = pa.CompressedInputStream(self._file.arrow(), self.codec)
        self._place = 0
        self._kept, self._kept_at = b"", 0

    def _advance(self, length: int) -> int:
        """Decode `length` more bytes, in steps that a bomb cannot outgrow, and keep only those."""
        blocks: list[bytes] = []
        self._kept_at = self._place
        while length > 0 and (block := self._decode(min(length, _SKIP))):
            blocks.append(block)
            length -= len(block)
            self._place += len(block)
            self._refuse_bomb()
        self._kept = b"".join(blocks)
        return len(self._kept)

    def _decode(self, length: int) -> bytes:
        try:
            return bytes(self._stream.read(length))
        except (OSError, pa.ArrowException) as error:
            code = "DATASET_TRUNCATED" if "runcated" in str(error) else "DATASET_CORRUPT"
            raise InvalidInput(
                code,
                f"the {self.codec} stream breaks off or is damaged after {self._place} decoded "
                f"bytes: {error}",
                "copy or compress the file again",
            ) from error

    def _refuse_bomb(self) -> None:
        if self._place > self._floor and self.ratio > self._max_ratio:
            raise InvalidInput(
                "DECOMPRESSION_LIMIT",
                f"the {self.codec} stream grows to more than {self._max_ratio} times its size",
                "decompress the file yourself if it is what you expect",
            )
        if self._place >= self.size:
            raise InvalidInput(
                "DECOMPRESSION_LIMIT",
                f"the {self.codec} stream decodes to more than {self.size} bytes",
                "split the file",
            )
