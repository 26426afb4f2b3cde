"""Fixtures: the command line as its users have it, a process of its own with a state of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Millrace = Callable[..., "subprocess.CompletedProcess[str]"]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "millrace", *arguments]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def environment(state: Path) -> dict[str, str]:
    return {**os.environ, "MILLRACE_STATE": str(state), "COLUMNS": "200"}


@pytest.fixture
def millrace(tmp_path: Path, environment: dict[str, str]) -> Millrace:
    """Run one command to its end in `tmp_path`."""

    def run(*arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run
