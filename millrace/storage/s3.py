"""A bucket of any S3 server as storage.

An object's version is its ETag (see `s3_object`). Publishing is one conditional put,
or a multipart upload completed by one; where a server ignores conditions, a look before the put
takes their place, which two writers at the very same moment can slip through: docs/adr/0006.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, suppress
from datetime import timedelta
from pathlib import Path

from millrace.errors import Conflict, InvalidInput, NotFound, Unavailable
from millrace.failpoints import failpoint
from millrace.storage.base import InputStream, StoredObject
from millrace.storage.read_ahead import ReadAhead
from millrace.storage.s3_client import look, request
from millrace.storage.s3_conditions import honours_conditions
from millrace.storage.s3_endpoint import configure
from millrace.storage.s3_listing import objects, prefix_of, uploads
from millrace.storage.s3_object import S3Object, bare, pin
from millrace.storage.s3_upload import checksum, upload
from millrace.storage.s3_uri import PREFIX, bucket_and_key
from millrace.storage.spooled import refuse_corrupt
from millrace.storage.temporary_spool import temporary_spool

__all__ = ["S3Storage", "configure"]

_ABANDONED = timedelta(days=1)
_TRIES = 3


class S3Storage:
    """`Storage` for ``s3://`` URIs."""

    def info(self, uri: str) -> StoredObject:
        """What is there; `NotFound` for nothing, `InvalidInput` for a bucket."""
        if not bucket_and_key(uri)[1]:
            raise InvalidInput("IS_A_FOLDER", f"{uri} is a bucket", "name an object in it")
        return pin(uri, look(uri))

    def list(self, uri: str) -> Iterator[StoredObject]:
        """All objects below a prefix, in the order of their names' bytes.

        Left out are names that start with ``.`` or ``_`` and markers of folders.
        """
        bucket, _ = bucket_and_key(uri)
        prefix = prefix_of(uri)
        for entry in objects(uri):
            names = entry["Key"].removeprefix(prefix).split("/")
            marker = not names[-1] and not entry["Size"]
            if not marker and not any(name.startswith((".", "_")) for name in names):
                found = f"{PREFIX}{bucket}/{entry['Key']}"
                yield StoredObject(found, entry["Size"], bare(entry["ETag"]))

    def open(self, pinned: StoredObject) -> InputStream:
        """Open for reading; `InputChanged` where size or version are no longer the pinned ones."""
        return ReadAhead(S3Object(pinned))

    def spool(self, folder: str) -> AbstractContextManager[Path]:
        """A private file among the temporary ones of this machine; gone afterwards."""
        return temporary_spool()

    def clear_spool(self, folder: str) -> None:
        """Abort uploads in parts that somebody began below `folder` over a day ago."""
        # who may not see them leaves them to the bucket's own rules
        with suppress(InvalidInput):
            for uri, started, age in uploads(folder):
                if age > _ABANDONED:
                    request("abort_multipart_upload", uri, UploadId=started)

    def put(self, spooled: Path, uri: str, sha256: str) -> None:
        """Publish a spooled file under a new name, whole or not at all, durable from then on.

        Finding the same content there already is success; other content is `Conflict`.
        `Unavailable` where the spooled bytes are not the ones that were hashed.
        """
        refuse_corrupt(spooled, sha256)
        failpoint("s.before_put")
        upload(spooled, uri, sha256)
        failpoint("s.after_put")

    def settle(self, uris: Collection[str]) -> None:
        """Nothing: what S3 has answered for is durable."""

    def put_once(self, uri: str, content: bytes) -> bytes:
        """Create a small object if there is none; returns the bytes that are there afterwards."""
        if not self.exclusive(uri.rpartition("/")[0]):
            return self._put_after_look(uri, content)
        failpoint("s.before_put_once")
        failure: Unavailable | None = None
        for _ in range(_TRIES):
            try:
                _put(uri, content, IfNoneMatch="*")
            except Conflict:
                pass
            except Unavailable as error:
                # nobody knows whether it was done
                failure = error
            failpoint("s.after_put_once")
            try:
                return self.read(uri)
            except NotFound:
                continue
        raise failure or Unavailable("STORAGE_BUSY", f"{uri} comes and goes", "try again later")

    def _put_after_look(self, uri: str, content: bytes) -> bytes:
        try:
            return self.read(uri)
        except NotFound:
            _put(uri, content)
            return self.read(uri)

    def exclusive(self, folder: str) -> bool:
        """Whether the server keeps its word on conditions, which is tried out once."""
        return honours_conditions(folder)

    def read(self, uri: str) -> bytes:
        """A small object whole; `NotFound` where there is none."""
        source = self.open(self.info(uri))
        try:
            return source.read_at(0, source.size)
        finally:
            source.close()

    def delete(self, uri: str) -> None:
        """Remove an object; that there is none is success."""
        request("delete_object", uri)


def _put(uri: str, content: bytes, **condition: str) -> None:
    request("put_object", uri, Body=content, ChecksumSHA256=checksum(content), **condition)
