"""This machine: versions, devices, and room on its disks."""

from __future__ import annotations

import platform
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from millrace.cli.checks.finding import Finding, fail, ok, warn
from millrace.cli.machine import cores, memory_bytes
from millrace.settings import Settings

_PACKAGES = ("millrace", "sqlalchemy", "psycopg", "celery", "kombu", "redis", "boto3", "pyarrow")
_ENGINES = ("torch", "sentence-transformers")
_LITTLE_BYTES = 2 << 30
_NOTHING_BYTES = 100 << 20


def findings(settings: Settings) -> Iterator[Finding]:
    """What is to be said of this machine."""
    yield _versions()
    yield from _devices(settings.device)
    for folder in {_existing(settings.state), Path(tempfile.gettempdir())}:
        yield from _room(folder)


def _versions() -> Finding:
    python = f"Python {platform.python_version()}"
    found = {name: _version(name) for name in (*_PACKAGES, *_ENGINES)}
    there = [f"{name} {number}" for name, number in found.items() if number]
    return ok("versions", ", ".join([python, *there]))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _devices(wanted: str) -> Iterator[Finding]:
    gpus = _gpus()
    gib = memory_bytes(1) >> 30
    yield ok("devices", ", ".join([f"{cores()} cores, {gib} GiB for computing", *gpus]))
    kind, _, number = wanted.partition(":")
    if kind == "cuda" and int(number or 0) >= len(gpus):
        yield fail(
            "devices",
            f"device {wanted} is asked for, and nvidia-smi shows {len(gpus)} GPUs",
            "correct --device or MILLRACE_DEVICE, or install the driver",
        )
    if gpus and not _version("torch"):
        yield warn("devices", "there is a GPU and no torch", "pip install 'millrace[torch]'")


def _gpus() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    asked = [program, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [f"cuda:{n} {line}" for n, line in enumerate(said.stdout.splitlines())]


def _room(folder: Path) -> Iterator[Finding]:
    free = shutil.disk_usage(folder).free
    seen = f"{free / (1 << 30):,.1f} GiB free in {folder}"
    if free < _NOTHING_BYTES:
        yield fail("disk", seen, "free some space")
    elif free < _LITTLE_BYTES:
        yield warn(
            "disk", seen, "parts are written here before they are published: free some space"
        )
    else:
        yield ok("disk", seen)


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    return next(each for each in (folder, *folder.parents) if each.exists())
