"""Which operation of S3 a request is, told by its method and query as S3 itself does."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, unquote, urlsplit

_BUCKET = {"PUT": "CreateBucket", "HEAD": "HeadBucket", "DELETE": "DeleteBucket"}
_OBJECT = {
    "GET": "GetObject",
    "HEAD": "HeadObject",
    "PUT": "PutObject",
    "DELETE": "DeleteObject",
}
_IN_PARTS = {
    "PUT": "UploadPart",
    "POST": "CompleteMultipartUpload",
    "DELETE": "AbortMultipartUpload",
    "GET": "ListParts",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, path style: ``operation`` as in S3's documentation."""

    operation: str
    bucket: str
    key: str


def asked(method: str, target: str) -> Asked:
    """What the request line ``METHOD TARGET`` asks for; ``METHOD ?`` for what is not named here."""
    parts = urlsplit(target)
    bucket, _, key = unquote(parts.path).removeprefix("/").partition("/")
    query = parse_qs(parts.query, keep_blank_values=True)
    return Asked(_operation(method, query, bool(key)) or f"{method} ?", bucket, key)


def _operation(method: str, query: dict[str, list[str]], of_object: bool) -> str | None:
    if "uploadId" in query:
        return _IN_PARTS.get(method)
    if "uploads" in query:
        return {"POST": "CreateMultipartUpload", "GET": "ListMultipartUploads"}.get(method)
    if "list-type" in query:
        return "ListObjectsV2"
    return (_OBJECT if of_object else _BUCKET).get(method)
