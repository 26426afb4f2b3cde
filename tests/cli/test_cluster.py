"""scripts/cluster: every service at once, from S3 to S3, on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_script_computes_a_real_file_and_leaves_nothing_behind() -> None:
    python = str(Path(sys.executable).parent)
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [ROOT / "scripts/cluster"],
        env=clean | {"PATH": f"{python}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "each once" in done.stdout
    assert "took a message and gave it back" in done.stdout
    started = [
        line.split()[-1].rstrip(")") for line in done.stderr.splitlines() if "(process" in line
    ]
    assert len(started) == 6
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]
