"""A virtual environment of its own for Ray, so that no version of ours bends to one of Ray's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PACKAGES = ("ray[data]", "sentence-transformers", "torch", "pydantic", "rfc8785")


def ray_python(folder: Path) -> Path:
    """The Python of the environment in `folder`, made at the first call (minutes)."""
    python = folder / "bin" / "python"
    if (folder / "ready").exists():
        return python
    print(f"Making {folder} for Ray …", flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    pins = [
        line
        for line in Path("constraints.txt").read_text(encoding="utf-8").splitlines()
        if line.startswith(("torch==", "transformers==", "sentence-transformers=="))
    ]
    own = folder / "constraints.txt"
    own.write_text("\n".join(pins) + "\n", encoding="utf-8")
    subprocess.run([python, "-m", "pip", "install", "-q", "-c", own, *PACKAGES], check=True)
    (folder / "ready").touch()
    return python
