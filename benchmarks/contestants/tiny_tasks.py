"""The same tasks of nothing for each contestant: one row in, one row out, so many times.

Each prints the seconds from the first submission to the last result; its processes run by then and
have done some tasks already.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

WARM_UP = 50


@dataclass(frozen=True, slots=True)
class Race:
    """So many tasks, whatever is written below `folder`."""

    tasks: int
    folder: Path
    kind: str


def read_race() -> Race:
    parser = argparse.ArgumentParser()
    parser.add_argument("tasks", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("kind", nargs="?", default="")
    return Race(**vars(parser.parse_args()))
