"""Reading one pinned S3 object, whatever the line does.

A version is the object's ETag, and its version id behind a space where the bucket keeps versions.
With an id, S3 itself keeps the bytes for us; without, the ETag that comes with each answer tells
whether they still are those that were pinned. A body that breaks off, falls short or drips is
asked for again from where it stopped.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import urllib3.exceptions

from millrace.errors import Conflict, InputChanged, InvalidInput, NotFound, Unavailable
from millrace.storage.base import StoredObject
from millrace.storage.s3_client import look, request
from millrace.storage.s3_endpoint import endpoint

HEAD_BYTES = 1 << 16

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)", re.ASCII)
_PIECE_BYTES = 1 << 20
_LEAST_RATE = 1 << 16
_TRIES = 8
_PAUSE_SECONDS = 0.2


class S3Object:
    """`InputStream` over one object; any number of threads may read at a time.

    The first answer proves that the object is the pinned one, and its bytes are kept.
    """

    def __init__(self, pinned: StoredObject) -> None:
        self.size = pinned.size
        self._pinned = pinned
        self._etag, _, self._version_id = pinned.version.partition(" ")
        self._conditional = True
        self._closed = threading.Event()
        self._head = self._fetch(0, min(HEAD_BYTES, self.size)) if self.size else self._empty()

    def read_at(self, offset: int, length: int) -> bytes:
        """Exactly the bytes ``[offset, offset + length)``, fewer only at the end of the object."""
        wanted = max(0, min(length, self.size - offset))
        kept = self._head[offset : offset + wanted]
        if len(kept) == wanted:
            return kept
        return kept + self._fetch(offset + len(kept), wanted - len(kept))

    def close(self) -> None:
        """Nothing is read any more; who still waits for bytes gets `Unavailable`."""
        self._closed.set()

    def _fetch(self, offset: int, length: int) -> bytes:
        got = bytearray()
        for tries in range(_TRIES):
            if tries:
                self._closed.wait(random.uniform(0, _PAUSE_SECONDS * 2**tries))
            if self._closed.is_set():
                break
            for piece in self._body(offset + len(got), offset + length):
                got += piece
            if len(got) == length:
                return bytes(got)
        raise Unavailable(
            "STORAGE_BUSY",
            f"{self._pinned.uri} breaks off at byte {offset + len(got):,} again and again",
            "check the connection to the S3 server",
        )

    def _body(self, start: int, end: int) -> Iterator[bytes]:
        """What arrives of the bytes ``[start, end)``: nothing wrong, but perhaps not all."""
        answer = self._ask(start, end)
        left = end - start
        limit = time.monotonic() + endpoint().patience.read + left / _LEAST_RATE
        with answer["Body"] as raw:
            try:
                while left and time.monotonic() < limit and not self._closed.is_set():
                    piece = raw.read1(min(left, _PIECE_BYTES))
                    if not piece:
                        break
                    left -= len(piece)
                    yield piece
            except (urllib3.exceptions.HTTPError, OSError):
                return

    def _ask(self, start: int, end: int) -> dict[str, Any]:
        """An answer that holds the pinned bytes ``[start, end)``; raises `InputChanged`."""
        asked = {"Range": f"bytes={start}-{end - 1}"} | self._condition()
        try:
            answer = request("get_object", self._pinned.uri, **asked)
        except NotFound:
            raise self._gone() from None
        except Conflict:
            self._refuse_change()
            if not self._conditional:
                raise
            # a server that does not know its own ETag when it stands in quotes
            self._conditional = False
            return self._ask(start, end)
        except InvalidInput as error:
            if error.code == "RANGE_NOT_SATISFIABLE":
                self._refuse_change()
            raise
        try:
            self._check_place(answer, start)
        except BaseException:
            answer["Body"].close()
            raise
        return answer

    def _condition(self) -> dict[str, str]:
        if self._version_id:
            return {"VersionId": self._version_id}
        return {"IfMatch": f'"{self._etag}"'} if self._conditional else {}

    def _refuse_change(self) -> None:
        """Look what is there now; raises `InputChanged` unless it is the pinned object."""
        versioned = {"VersionId": self._version_id} if self._version_id else {}
        try:
            found = look(self._pinned.uri, **versioned)
        except NotFound:
            raise self._gone() from None
        self._check(found, found["ContentLength"])

    def _empty(self) -> bytes:
        self._refuse_change()
        return b""

    def _check(self, answer: dict[str, Any], size: int) -> None:
        found = bare(answer.get("ETag", ""))
        if (found, size) != (self._etag, self.size):
            raise InputChanged(
                "INPUT_CHANGED",
                f"{self._pinned.uri} changed: it was {self.size:,} bytes, ETag {self._etag}; "
                f"it now has {size:,} bytes, ETag {found}",
                "leave inputs alone while a job runs; start a new job for the new content",
            )

    def _check_place(self, answer: dict[str, Any], start: int) -> None:
        first, size = _place(answer)
        self._check(answer, size)
        if first != start:
            raise InvalidInput(
                "STORAGE_WITHOUT_RANGES",
                f"the S3 server sent byte {first:,} of {self._pinned.uri}, asked was {start:,}",
                "Millrace needs a server that answers range requests",
            )

    def _gone(self) -> InputChanged:
        return InputChanged(
            "INPUT_GONE",
            f"{self._pinned.uri} is gone; it was {self.size:,} bytes, ETag {self._etag}",
            "put it back or start a new job",
        )


def pin(uri: str, answer: dict[str, Any]) -> StoredObject:
    """The object that an answer of S3 describes."""
    version_id = answer.get("VersionId", "null")
    version = bare(answer["ETag"])
    if version_id != "null":
        version += f" {version_id}"
    return StoredObject(uri, answer["ContentLength"], version)


def bare(etag: str) -> str:
    """An ETag without the quotes that some servers leave out."""
    return etag.removeprefix("W/").strip('"')


def _place(answer: dict[str, Any]) -> tuple[int, int]:
    """First byte of the range that an answer holds, and bytes of the whole object."""
    match = _RANGE.fullmatch(answer.get("ContentRange", ""))
    return (int(match[1]), int(match[2])) if match else (0, answer["ContentLength"])
