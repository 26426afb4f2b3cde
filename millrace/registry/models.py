"""References to models: ``ENGINE:LOCATION`` as people type it, pinned by content."""

from __future__ import annotations

import os
from pathlib import Path

from millrace import catalog
from millrace.errors import NotFound, UsageError
from millrace.registry.fingerprint import sha256_of
from millrace.spec import ModelRef

WITHOUT_FILES = frozenset({"echo"})


def resolve(reference: str) -> ModelRef:
    """Pin ``ENGINE:LOCATION``: the location made absolute, its content hashed.

    Raises `UsageError` for another form, `InvalidInput` for an unknown engine and `NotFound`
    where nothing is at the location.
    """
    engine, colon, location = reference.partition(":")
    if not engine or (not colon and engine not in WITHOUT_FILES):
        raise UsageError(
            "MODEL_REFERENCE",
            f"{reference!r} is not of the form ENGINE:LOCATION",
            "for example sentence-transformers:./all-MiniLM-L6-v2 or python:predictor.py:Sentiment",
        )
    catalog.engine(engine)
    if engine in WITHOUT_FILES:
        return ModelRef(engine=engine, location=location)
    path, name = _split(location)
    if not path.exists():
        raise NotFound(
            "MODEL_NOT_FOUND",
            f"there is no model at {str(path)!r}",
            "give the path of a file or folder on this machine",
        )
    absolute = str(path.resolve())
    return ModelRef(
        engine=engine,
        location=f"{absolute}:{name}" if name else absolute,
        sha256=sha256_of(Path(absolute)),
    )


def absolute(location: str) -> str:
    """The same location written from the root; nothing is looked at that it names."""
    path, name = _split(location)
    return ":".join(filter(None, (os.path.abspath(path), name)))


def path_of(location: str) -> str:
    """The file or folder of a location, without the name inside it."""
    return str(_split(location)[0])


def _split(location: str) -> tuple[Path, str]:
    """The file and, after a last colon, the name inside it: ``predictor.py:Sentiment``."""
    path, colon, name = location.rpartition(":")
    if colon and name.isidentifier() and not Path(location).exists():
        return Path(path).expanduser(), name
    return Path(location).expanduser(), ""
