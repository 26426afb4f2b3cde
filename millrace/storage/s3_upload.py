"""Publishing a local file as one S3 object: whole, checked on both sides, never over another one.

What a request that got no answer has done is unknown, and S3 may still be doing it. So nothing that
may be complete is ever cleaned up: we look what is there, and only an upload that was certainly
never completed is aborted.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

from millrace.errors import Conflict, MillraceError, NotFound, Unavailable
from millrace.storage.base import StoredObject, blocks
from millrace.storage.os_errors import translated
from millrace.storage.s3_client import look, request
from millrace.storage.s3_object import S3Object, pin

SINGLE_BYTES = 16 << 20
"""Up to this size an object is put with one request."""

_PART_BYTES = 8 << 20
_MOST_PARTS = 10_000
_THREADS = 4
_DIGEST = "sha256"


@dataclass(frozen=True, slots=True)
class _Content:
    """What is to be published, and where."""

    path: Path
    uri: str
    size: int
    sha256: str

    def read(self, start: int, length: int) -> bytes:
        with translated(self.path), self.path.open("rb") as file:
            file.seek(start)
            return file.read(length)

    @property
    def metadata(self) -> dict[str, str]:
        return {_DIGEST: self.sha256}


def upload(spooled: Path, uri: str, sha256: str) -> None:
    """Publish `spooled`, whose digest is `sha256`, as a new object.

    Finding the same content there already is success; `Conflict` OUTPUT_CONFLICT where it is other
    content, `Unavailable` where what arrived is not what was sent.
    """
    with translated(spooled):
        content = _Content(spooled, uri, spooled.stat().st_size, sha256)
    try:
        if content.size <= SINGLE_BYTES:
            _put(content)
        else:
            _put_in_parts(content)
    except Conflict:
        if not _stands(content):
            raise _occupied(uri) from None
        return
    if not _stands(content):
        raise Unavailable(
            "UPLOAD_CORRUPT",
            f"{uri} is not what was sent there",
            "check the S3 server and whatever stands before it",
        )


def checksum(content: bytes) -> str:
    """SHA-256 in the spelling of S3."""
    return base64.b64encode(hashlib.sha256(content).digest()).decode()


def _put(content: _Content) -> None:
    body = content.read(0, content.size)
    request(
        "put_object",
        content.uri,
        Body=body,
        ChecksumSHA256=checksum(body),
        Metadata=content.metadata,
        IfNoneMatch="*",
    )


def _put_in_parts(content: _Content) -> None:
    with suppress(NotFound):
        look(content.uri)
        raise Conflict("CONDITION_FAILED", f"{content.uri} exists")
    started = request(
        "create_multipart_upload",
        content.uri,
        Metadata=content.metadata,
        ChecksumAlgorithm="SHA256",
    )["UploadId"]
    try:
        parts = _send_parts(content, started)
    except BaseException:
        _abort(content.uri, started)
        raise
    try:
        request(
            "complete_multipart_upload",
            content.uri,
            UploadId=started,
            MultipartUpload={"Parts": parts},
            IfNoneMatch="*",
        )
    except MillraceError as error:
        # an earlier try of the same request may have done it, or may be doing it still
        if _stands(content):
            return
        if isinstance(error, Conflict):
            _abort(content.uri, started)
        raise


def _send_parts(content: _Content, started: str) -> list[dict[str, Any]]:
    def send(number: int, start: int, length: int) -> dict[str, Any]:
        body = content.read(start, length)
        named = {"PartNumber": number, "ChecksumSHA256": checksum(body)}
        sent = request("upload_part", content.uri, UploadId=started, Body=body, **named)
        return {"ETag": sent["ETag"], **named}

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="upload") as pool:
        return list(pool.map(lambda piece: send(*piece), _pieces(content.size)))


def _pieces(size: int) -> Iterator[tuple[int, int, int]]:
    """Number, start and length of each part."""
    length = max(_PART_BYTES, ceil(size / _MOST_PARTS))
    for number, start in enumerate(range(0, size, length), start=1):
        yield number, start, min(length, size - start)


def _abort(uri: str, started: str) -> None:
    with suppress(MillraceError):
        request("abort_multipart_upload", uri, UploadId=started)


def _stands(content: _Content) -> bool:
    """Whether exactly this content is there, as far as S3 tells without sending it back."""
    try:
        found = look(content.uri, ChecksumMode="ENABLED")
    except NotFound:
        return False
    if found["ContentLength"] != content.size:
        return False
    told = found.get("ChecksumSHA256")
    if told and "-" not in found["ETag"]:
        return bool(told == base64.b64encode(bytes.fromhex(content.sha256)).decode())
    if _DIGEST in found["Metadata"]:
        return bool(found["Metadata"][_DIGEST] == content.sha256)
    return _digest(pin(content.uri, found)) == content.sha256


def _digest(stored: StoredObject) -> str:
    source, digest = S3Object(stored), hashlib.sha256()
    try:
        for block in blocks(source):
            digest.update(block)
    finally:
        source.close()
    return digest.hexdigest()


def _occupied(uri: str) -> Conflict:
    return Conflict(
        "OUTPUT_CONFLICT",
        f"{uri} exists and has other content",
        "choose another output folder",
    )
