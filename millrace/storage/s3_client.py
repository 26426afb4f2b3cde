"""One connection to S3 per process, and the one way in which anything is asked of it.

botocore itself tries a request a few times; where that was not enough we wait longer, at random so
that a crowd does not come back as one, and begin again. What still fails raises `Unavailable`,
upon which whoever works gives its work back: an outage is nobody's fault.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

from millrace.errors import InvalidInput
from millrace.storage.s3_endpoint import Endpoint, endpoint
from millrace.storage.s3_errors import BOTO_ERRORS, Request, is_expired, is_transient, translate
from millrace.storage.s3_uri import bucket_and_key

_POOL_SIZE = 32


class _Connections:
    """The client of this process, made when it is first needed and again after a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._client: Any = None
        self._made_in = 0
        self._made_for: Endpoint | None = None

    def client(self) -> Any:
        with self._lock:
            if (self._made_in, self._made_for) != (os.getpid(), endpoint()):
                # what was made before a fork is still our parent's
                if self._made_in == os.getpid():
                    self._client.close()
                self._client, self._made_in = _connect(endpoint()), os.getpid()
                self._made_for = endpoint()
            return self._client

    def forget(self) -> None:
        """Have the next request look for credentials again."""
        with self._lock:
            self._made_for = None


_CONNECTIONS = _Connections()


def request(operation: str, uri: str, **arguments: Any) -> dict[str, Any]:
    """Carry out one operation of boto3's client on the bucket and key of `uri`.

    `arguments` are boto3's, with ``Key=None`` for an operation on the bucket. Raises what
    `s3_errors.translate` tells.
    """
    bucket, key = bucket_and_key(uri)
    arguments = {"Bucket": bucket, "Key": key} | arguments
    if arguments["Key"] is None:
        del arguments["Key"]
    refreshed = False
    waits = pauses()
    while True:
        try:
            answer: dict[str, Any] = getattr(_CONNECTIONS.client(), operation)(**arguments)
            return answer
        except BOTO_ERRORS as error:
            if is_expired(error) and not refreshed:
                refreshed = True
                _CONNECTIONS.forget()
                continue
            wait = next(waits, None) if is_transient(error) else None
            if wait is None:
                raise translate(error, Request(_action(operation), uri)) from error
            time.sleep(wait)


def look(uri: str, **arguments: Any) -> dict[str, Any]:
    """Size, ETag, metadata and version id of what is there; raises as `request` does."""
    try:
        return request("head_object", uri, **arguments)
    except InvalidInput:
        # an answer to HEAD has no room to say why
        answer = request("get_object", uri, **arguments)
        answer["Body"].close()
        return answer


def pauses() -> Iterator[float]:
    """Seconds to wait before each further round: any time up to a bound that doubles."""
    patience = endpoint().patience
    for number in range(patience.rounds - 1):
        yield random.uniform(0, patience.pause * 2**number)


def _connect(to: Endpoint) -> Any:
    import boto3
    from botocore.config import Config

    patience = to.patience
    config = Config(
        connect_timeout=patience.connect,
        read_timeout=patience.read,
        retries={"mode": "standard", "total_max_attempts": patience.attempts},
        max_pool_connections=_POOL_SIZE,
        s3={"addressing_style": to.addressing},
        # others than AWS refuse bodies with a checksum behind them; ours come as headers
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        user_agent_extra="millrace",
    )
    return boto3.session.Session().client(
        "s3",
        endpoint_url=to.url or None,
        region_name=to.region or None,
        config=config,
    )


def _action(operation: str) -> str:
    """The right that an operation needs, as policies name it."""
    match operation:
        case "head_object" | "get_object":
            return "s3:GetObject"
        case "list_objects_v2":
            return "s3:ListBucket"
        case "delete_object":
            return "s3:DeleteObject"
        case "list_multipart_uploads":
            return "s3:ListBucketMultipartUploads"
        case "abort_multipart_upload":
            return "s3:AbortMultipartUpload"
        case _:
            return "s3:PutObject"
