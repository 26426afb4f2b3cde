"""``millrace up``, started as its users start it, and everything that it has started."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.commands import command
from tests.services import QUICK
from tests.waiting import gone, until


@dataclass
class House:
    """A running ``millrace up`` and what it said of itself."""

    process: psutil.Popen
    said: dict[str, Any]
    warnings: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a user of it has set."""
        return {"MILLRACE_URL": self.said["url"], "MILLRACE_API_KEY": self.said["key"]}

    def child(self, word: str) -> psutil.Process:
        """One of its processes, with this word in its command."""
        found = (each for each in self.process.children() if not gone(each.pid))
        return next(each for each in found if word in " ".join(each.cmdline()))

    def everybody(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@contextmanager
def household(folder: Path, state: Path, *options: str) -> Iterator[House]:
    """Up and ready, with `folder` as what jobs may name; whatever is left at the end is killed."""
    quick = {f"MILLRACE_{name}": value for name, value in QUICK.items()}
    said, warnings = folder / "up.json", folder / "up.log"
    with said.open("wb") as output, warnings.open("wb") as log:
        process = psutil.Popen(
            command("up", "--port", "0", "--json", *options),
            cwd=folder,
            env={**os.environ, **quick, "MILLRACE_STATE": str(state)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=log,
        )
    house = House(process, {}, warnings)
    try:
        until(
            lambda: said.read_text().endswith("}\n") or process.poll() is not None,
            "everything is up",
            90,
            every=0.05,
        )
        assert process.poll() is None, warnings.read_text()
        house.said = json.loads(said.read_text())
        yield house
    finally:
        if process.poll() is None:
            for each in reversed(house.everybody()):
                each.kill()
            process.wait(20)
