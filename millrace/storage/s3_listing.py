"""What S3 lists, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from millrace.storage.s3_client import request
from millrace.storage.s3_uri import PREFIX, bucket_and_key


def objects(folder: str) -> Iterator[dict[str, Any]]:
    """The entries of all objects below a bucket or prefix, in the order of their keys' bytes."""
    asked: dict[str, Any] = {"Key": None, "Prefix": prefix_of(folder)}
    while True:
        page = request("list_objects_v2", folder, **asked)
        yield from page.get("Contents", ())
        if not page.get("IsTruncated"):
            return
        asked["ContinuationToken"] = page["NextContinuationToken"]


def uploads(folder: str) -> Iterator[tuple[str, str, timedelta]]:
    """URI, id and age, by the server's clock, of every upload in parts that is not complete."""
    asked: dict[str, Any] = {"Key": None, "Prefix": prefix_of(folder)}
    bucket, _ = bucket_and_key(folder)
    while True:
        page = request("list_multipart_uploads", folder, **asked)
        now = parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"])
        for entry in page.get("Uploads", ()):
            uri = f"{PREFIX}{bucket}/{entry['Key']}"
            yield uri, entry["UploadId"], now - entry["Initiated"]
        if not page.get("IsTruncated"):
            return
        asked["KeyMarker"] = page["NextKeyMarker"]
        asked["UploadIdMarker"] = page["NextUploadIdMarker"]


def prefix_of(folder: str) -> str:
    """What the keys of everything below a folder start with."""
    _, key = bucket_and_key(folder)
    return f"{key}/" if key else ""
