"""What people type, as absolute URIs. A URI is compared as it is and never normalised again."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from millrace.errors import InvalidInput
from millrace.storage import s3_uri

SCHEMES: dict[str, str] = {
    "file": "millrace.storage.local:LocalStorage",
    "s3": "millrace.storage.s3:S3Storage",
}
"""Scheme → dotted path of its `Storage`."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(?:[A-Za-z][A-Za-z0-9+.-]*:)*//")


def normalise(text: str) -> str:
    """The absolute URI of a path or URI that somebody typed.

    A bare path is a local file: ``~`` is the home folder, anything relative starts at the working
    directory. `InvalidInput` for what is empty, holds a NUL or names an unknown scheme; its message
    never repeats the URI itself, which may hold a password.
    """
    if not text.strip():
        raise InvalidInput("URI_EMPTY", "an empty path was given", "name a file or a folder")
    if "\0" in text:
        raise InvalidInput("URI_NOT_ALLOWED", "a path holds a NUL character", "remove it")
    return _file_uri(text) if scheme_of(text) == "file" else s3_uri.checked(text)


def scheme_of(text: str) -> str:
    """The scheme of a typed URI, ``file`` for a bare path; `InvalidInput` lists those allowed."""
    match = _SCHEME.match(text)
    if match is None:
        return "file"
    scheme = match[1]
    if scheme in SCHEMES:
        return scheme
    if scheme.lower() in SCHEMES:
        hint = f"write {scheme.lower()}:// in lower case"
    else:
        hint = f"use a path or one of: {', '.join(f'{name}://' for name in SCHEMES)}"
    raise InvalidInput("URI_SCHEME", f"addresses that start with {scheme}:// are not read", hint)


def local_path(uri: str) -> Path:
    """The path that a ``file://`` URI stands for."""
    return Path(os.fsdecode(unquote_to_bytes(uri.removeprefix("file://"))))


def names(uri: str) -> list[str]:
    """The names in a URI's path (a bucket is the first), each in its own characters."""
    path = uri.partition("://")[2].split("/")
    if scheme_of(uri) == "file":
        return [os.fsdecode(unquote_to_bytes(name)) for name in path]
    return path


def join(folder: str, *below: str) -> str:
    """The URI of something below `folder`; names are taken as they are, ``/`` separates them."""
    spelled = map(quote, below) if scheme_of(folder) == "file" else below
    return "/".join((folder.removesuffix("/"), *spelled))


def basename(uri: str) -> str:
    """The last name of a URI, for people and for suffixes."""
    return names(uri.rstrip("/"))[-1]


def _file_uri(text: str) -> str:
    if text.startswith("file://"):
        host, slash, _ = text.removeprefix("file://").partition("/")
        if not slash or host not in ("", "localhost"):
            raise InvalidInput(
                "URI_NOT_ALLOWED",
                f"a file:// URI names the host {host!r}",
                "write three slashes, as in file:///data/rows.jsonl",
            )
        text = os.fsdecode(unquote_to_bytes(text.removeprefix("file://" + host)))
        if "\0" in text:
            raise InvalidInput("URI_NOT_ALLOWED", "a URI holds a NUL character", "remove %00")
    path = os.path.abspath(Path(text).expanduser())
    return "file://" + quote(os.fsencode(path))
