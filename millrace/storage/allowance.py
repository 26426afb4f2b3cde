"""Which folders and prefixes somebody may name who is not trusted with all of them.

S3 keys are compared as they are and never normalised. Local paths are compared where they lead to,
links followed; a path that climbs by dot segments is refused before that, however it is spelled.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from millrace.errors import AccessDenied, InvalidInput
from millrace.storage import s3_uri
from millrace.storage.base import StoredObject
from millrace.storage.uri import local_path, normalise, scheme_of

_PATTERN_SIGNS = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Allowance:
    """What lies below `roots` (absolute URIs) may be named, and nothing else."""

    roots: tuple[str, ...]

    def checked(self, typed: str) -> str:
        """The absolute URI of what somebody typed.

        `InvalidInput` URI_NOT_ALLOWED for what is outside of every root, relative, or climbs;
        `AccessDenied` BUCKET_NOT_ALLOWED for a bucket in which there is no root.
        """
        if scheme_of(typed) == "file":
            return self._local(typed)
        uri = normalise(typed)
        if not any(_is_below(uri, root) for root in self._of("s3")):
            raise self._foreign_key(uri)
        return uri

    def refuse_links(self, found: Iterable[StoredObject]) -> None:
        """`InvalidInput` where one of these files leads out of every root, as a link may."""
        for each in found:
            self._lead_inside(local_path(each.uri))

    def _local(self, typed: str) -> str:
        path = typed.removeprefix("file://")
        if not path.startswith("/"):
            raise _not_allowed(
                "a path must be absolute", "write it from the root: /data/rows.jsonl"
            )
        if {".", ".."} & set(_unquoted(path).replace("\\", "/").split("/")):
            raise _not_allowed("a path holds the segment '.' or '..'", "name the place itself")
        uri = normalise(typed)
        self._lead_inside(_literal(local_path(uri)))
        return uri

    def _lead_inside(self, path: Path) -> None:
        target = path.resolve()
        roots = (local_path(root).resolve() for root in self._of("file"))
        if not any(target.is_relative_to(root) for root in roots):
            raise _not_allowed(f"{path} is outside of what this tenant may use", self._hint())

    def _foreign_key(self, uri: str) -> Exception:
        bucket, _ = s3_uri.bucket_and_key(uri)
        if any(s3_uri.bucket_and_key(root)[0] == bucket for root in self._of("s3")):
            return _not_allowed(f"{uri} is outside of what this tenant may use", self._hint())
        return AccessDenied(
            "BUCKET_NOT_ALLOWED", f"the bucket {bucket} is not one of this tenant's", self._hint()
        )

    def _of(self, scheme: str) -> list[str]:
        return [root for root in self.roots if root.startswith(f"{scheme}://")]

    def _hint(self) -> str:
        shown = ", ".join(self.roots)
        return f"use something below {shown}" if shown else "no storage is allowed so far"


def root_uri(typed: str) -> str:
    """The absolute URI of a root that an operator typed; `InvalidInput` for a pattern."""
    uri = normalise(typed)
    if _PATTERN_SIGNS & set(typed):
        raise InvalidInput(
            "ROOT_INVALID",
            f"a root is no pattern: {typed[:200]}",
            "name a folder or prefix",
        )
    return uri


def _is_below(uri: str, root: str) -> bool:
    return uri == root or uri.startswith(f"{root}/")


def _literal(path: Path) -> Path:
    """The path up to the first name that may be a pattern; the rest is looked for below that."""
    if os.path.lexists(path):
        return path
    literal = Path("/")
    for name in path.parts[1:]:
        if _PATTERN_SIGNS & set(name):
            break
        literal /= name
    return literal


def _unquoted(path: str) -> str:
    while (plain := unquote(path)) != path:
        path = plain
    return path


def _not_allowed(what: str, hint: str) -> InvalidInput:
    return InvalidInput("URI_NOT_ALLOWED", what, hint)
