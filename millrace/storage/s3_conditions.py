"""Whether an S3 server keeps its word on ``If-None-Match``; some take the header and ignore it."""

from __future__ import annotations

import secrets
import threading
from contextlib import suppress

from millrace.errors import Conflict, MillraceError
from millrace.storage.s3_client import request
from millrace.storage.s3_endpoint import Endpoint, endpoint
from millrace.storage.s3_uri import bucket_and_key
from millrace.storage.uri import join

_known: dict[tuple[Endpoint, str], bool] = {}
_lock = threading.Lock()


def honours_conditions(folder: str) -> bool:
    """Whether a conditional put below `folder` refuses what is there; asked once per bucket."""
    bucket, _ = bucket_and_key(folder)
    with _lock:
        place = (endpoint(), bucket)
        if place not in _known:
            _known[place] = _probe(join(folder, f"_probe-{secrets.token_hex(8)}"))
        return _known[place]


def _probe(uri: str) -> bool:
    try:
        # that the first is refused shows as much: a try of it went through and was not told
        return not all(_put(uri) for _ in range(2))
    finally:
        with suppress(MillraceError):
            request("delete_object", uri)


def _put(uri: str) -> bool:
    """Put once conditionally; false where the condition was said not to hold."""
    try:
        request("put_object", uri, Body=b"probe", IfNoneMatch="*")
    except Conflict:
        return False
    return True
