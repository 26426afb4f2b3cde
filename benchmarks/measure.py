"""Runs one program and says how long it took and how much memory all its processes held."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil

SAMPLE_SECONDS = 0.5


class ProgramFailed(Exception):
    """A contestant exited with an error; the message holds the end of what it printed."""


@dataclass(frozen=True, slots=True)
class Measurement:
    wall_seconds: float
    peak_bytes: int
    """Largest sum of PSS over the process and its descendants, sampled twice a second."""


def measure(command: list[str], environment: Mapping[str, str], log: Path) -> Measurement:
    """Run `command` to its end, its output in `log`; raises `ProgramFailed` if it fails."""
    with log.open("wb") as output:
        start = time.perf_counter()
        program = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=output, stderr=subprocess.STDOUT
        )
        peak = 0
        while True:
            peak = max(peak, memory_of(program.pid))
            try:
                code = program.wait(SAMPLE_SECONDS)
                break
            except subprocess.TimeoutExpired:
                continue
        wall = time.perf_counter() - start
    if code != 0:
        tail = log.read_text(errors="replace")[-2_000:]
        raise ProgramFailed(f"{' '.join(command)} exited with {code}:\n{tail}")
    return Measurement(wall, peak)


def memory_of(pid: int) -> int:
    """Bytes that the process and all its descendants hold, shared pages counted once (PSS)."""
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(map(_pss, family))


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0
