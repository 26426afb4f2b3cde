"""``s3://bucket/key``: what may be typed, and the bucket and key that it stands for.

Keys are compared as they are. Nothing in them is decoded or tidied up, so whatever would mean
another key after somebody else's tidying is refused. No message repeats a URI that may hold a
password.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from millrace.errors import InvalidInput

PREFIX = "s3://"

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_SIGNED = re.compile(r"[?&](X-Amz-|AWSAccessKeyId|Signature|Expires)", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_KEY_BYTES = 1024
_FORM = "write s3://bucket/folder/name"


def bucket_and_key(uri: str) -> tuple[str, str]:
    """What an ``s3://`` URI names; the key is empty where it is a whole bucket."""
    bucket, _, key = uri.removeprefix(PREFIX).partition("/")
    return bucket, key


def checked(text: str) -> str:
    """The URI that somebody typed, without one slash at its end; `InvalidInput` says what is wrong.

    Refused are a bad bucket, dot segments, backslashes and control characters, credentials, and
    keys longer than S3 allows.
    """
    bucket, key = bucket_and_key(text)
    _refuse_secrets(bucket, key)
    if not bucket:
        raise InvalidInput("URI_NO_BUCKET", "an s3:// address names no bucket", _FORM)
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise InvalidInput(
            "URI_NOT_ALLOWED",
            f"{bucket[:80]!r} is no name of a bucket",
            f"buckets have 3 to 63 lower-case letters, digits, dots and hyphens; {_FORM}",
        )
    _refuse_key(key)
    return PREFIX + (f"{bucket}/{key}".removesuffix("/"))


def _refuse_secrets(bucket: str, key: str) -> None:
    if "@" in bucket or ":" in bucket:
        raise InvalidInput(
            "URI_HOLDS_CREDENTIALS",
            "an s3:// address holds a user, a password or a port",
            f"{_FORM}, and give keys as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    if _SIGNED.search(key):
        raise InvalidInput(
            "URI_HOLDS_CREDENTIALS",
            "an s3:// address holds a signature",
            f"{_FORM} without what follows the question mark",
        )


def _refuse_key(key: str) -> None:
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidInput("URI_NOT_ALLOWED", "a key is not UTF-8", "rename the object") from None
    if size > _MAX_KEY_BYTES:
        raise InvalidInput(
            "URI_NOT_ALLOWED", f"a key of {size} bytes", f"{_MAX_KEY_BYTES} bytes are allowed"
        )
    plain = _unquoted(key)
    if _CONTROL.search(plain) or "\\" in plain:
        raise InvalidInput(
            "URI_NOT_ALLOWED", "a key holds a control character or a backslash", "remove it"
        )
    if {".", ".."} & set(plain.split("/")):
        raise InvalidInput(
            "URI_NOT_ALLOWED",
            "a key holds the segment '.' or '..', plain or percent-encoded",
            "name the object itself; keys are never resolved like paths",
        )


def _unquoted(key: str) -> str:
    """What a key may come to mean to whoever decodes it, however often."""
    while (plain := unquote(key)) != key:
        key = plain
    return key
