"""Which format a file has: what was asked for, else its suffix, else its first bytes."""

from __future__ import annotations

from millrace import catalog
from millrace.datasets.compression import SUFFIXES
from millrace.errors import InvalidInput
from millrace.storage.base import InputStream

_HEAD = 4_096


def detect(name: str, source: InputStream, asked: str | None = None) -> str:
    """The name of the format of file `name`, whose bytes are `source`.

    A suffix of compression counts for nothing: ``rows.jsonl.gz`` is JSON lines. `InvalidInput`
    UNKNOWN_FORMAT lists the formats where nothing tells.
    """
    if asked is not None:
        catalog.dataset_format(asked)
        return asked
    if found := by_suffix(name) or _by_magic(source.read_at(0, _HEAD)):
        return found
    raise InvalidInput(
        "UNKNOWN_FORMAT",
        f"cannot tell the format of {name}",
        f"say so with --input-format: {', '.join(catalog.FORMATS)}",
    )


def by_suffix(name: str) -> str | None:
    """The format that the name of a file tells, if it does."""
    lower = name.lower()
    for suffix in SUFFIXES:
        lower = lower.removesuffix(suffix)
    return next((k for k, entry in catalog.FORMATS.items() if lower.endswith(entry.suffixes)), None)


def _by_magic(head: bytes) -> str | None:
    if head.startswith(b"PAR1"):
        return "parquet"
    return "jsonl" if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b'{"') else None
