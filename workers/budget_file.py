"""What was learned about batch sizes, kept for the next process on this machine.

A cache and no more: a file that is missing, broken or not writable changes nothing but speed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from millrace.types import Json


class BudgetFile:
    """The learned batch cost of one model (by fingerprint) on one kind of device."""

    def __init__(self, folder: Path, fingerprint: Mapping[str, Json], device: str) -> None:
        identity = json.dumps([dict(fingerprint), device], sort_keys=True).encode()
        self._path = folder / f"{hashlib.sha256(identity).hexdigest()[:32]}.json"

    def read(self) -> int | None:
        """The cost to start from; none where nothing usable is there."""
        try:
            learned = json.loads(self._path.read_bytes())["max_cost"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return learned if isinstance(learned, int) and learned > 0 else None

    def write(self, max_cost: int) -> None:
        """Replace the file as a whole."""
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._path.parent, suffix=".part")
            with os.fdopen(handle, "w") as file:
                json.dump({"max_cost": max_cost}, file)
            os.replace(name, self._path)
