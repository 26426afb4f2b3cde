"""The command line that all contestants share."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Order:
    """What a contestant is to compute: `output` is a folder that does not exist yet."""

    workload: str
    input: Path
    model: Path
    output: Path


def read_order() -> Order:
    parser = argparse.ArgumentParser()
    parser.add_argument("workload", choices=["texts", "floats", "echo"])
    parser.add_argument("input", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    return Order(**vars(parser.parse_args()))
