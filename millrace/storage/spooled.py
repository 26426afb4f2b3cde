"""What was spooled: its digest, and whether it still is what was written."""

from __future__ import annotations

import hashlib
from pathlib import Path

from millrace.errors import Unavailable
from millrace.storage.os_errors import translated


def digest_of(path: Path) -> str:
    """SHA-256 of a local file, in hexadecimal."""
    with translated(path), path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def refuse_corrupt(spooled: Path, sha256: str) -> None:
    """`Unavailable` where the spooled bytes are not the ones that were hashed."""
    if (found := digest_of(spooled)) != sha256:
        raise Unavailable(
            "SPOOL_CORRUPT",
            f"{spooled} reads back as {found[:12]}…, written was {sha256[:12]}…",
            "check the disk",
        )
