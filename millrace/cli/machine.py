"""What the machine that we run on can bear."""

from __future__ import annotations

from pathlib import Path

import psutil

_MEMORY_SHARE = 0.8
_NVIDIA = Path("/dev/nvidiactl")


def cores() -> int:
    """Cores that this process may use."""
    return len(psutil.Process().cpu_affinity() or [0]) if psutil.LINUX else psutil.cpu_count() or 1


def memory_bytes(processes: int) -> int:
    """What each of so many compute processes may allocate."""
    return int(psutil.virtual_memory().total * _MEMORY_SHARE / processes)


def computes_on_cpu(device: str) -> bool:
    """Whether a worker told to use `device` will use the CPU; says so without importing torch."""
    return device == "cpu" or (device == "auto" and not _NVIDIA.exists())
