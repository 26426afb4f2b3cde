"""What a model is: the SHA-256 of its file or folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from millrace.errors import NotFound

_LEFT_OUT = frozenset({"__pycache__", ".git", ".cache"})


def model_files(path: Path) -> list[Path]:
    """The files that make up the model at `path`, sorted by relative name.

    Byte code, caches and version control below a folder are no part of it. Raises `NotFound` where
    there is nothing, or a folder without any file.
    """
    if path.is_file():
        return [path]
    files = sorted(_below(path), key=lambda file: file.relative_to(path).as_posix())
    if not files:
        raise NotFound(
            "MODEL_NOT_FOUND",
            f"there is no model at {str(path)!r}",
            "give the path of a file, or of a folder with files, on this machine",
        )
    return files


def sha256_of(path: Path) -> str:
    """The identity of a model as 64 hex digits; reads everything, in blocks.

    A file is the SHA-256 of its content. A folder is the SHA-256 over each file's relative name
    and content digest, sorted by name.
    """
    if path.is_file():
        return _digest(path)
    whole = hashlib.sha256()
    for file in model_files(path):
        name = file.relative_to(path).as_posix()
        whole.update(f"{len(name)}:{name}:{_digest(file)}\n".encode())
    return whole.hexdigest()


def _below(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and not _LEFT_OUT.intersection(path.relative_to(folder).parts):
            yield path


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
