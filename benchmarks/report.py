"""Turns measurements into a table for the terminal and a section of ``docs/benchmarks.md``."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil

from benchmarks.measure import Measurement
from benchmarks.results import Verdict

COLUMNS = ("contestant", "median s", "all s", "of the first", "peak MB", "right", "in order")
VERSIONS = ("millrace", "torch", "sentence-transformers", "pyarrow")


@dataclass(slots=True)
class Score:
    """What one contestant did over all rounds."""

    name: str
    runs: list[Measurement] = field(default_factory=list)
    verdict: Verdict | None = None

    @property
    def seconds(self) -> float:
        return median(run.wall_seconds for run in self.runs)


def table_rows(scores: Sequence[Score]) -> list[tuple[str, ...]]:
    """One row of texts per contestant, in the order of `COLUMNS`."""
    return [
        (
            score.name,
            f"{score.seconds:.1f}",
            " ".join(f"{run.wall_seconds:.1f}" for run in score.runs),
            f"{score.seconds / scores[0].seconds:.2f} ×",
            f"{median(run.peak_bytes for run in score.runs) / 1e6:,.0f}",
            "–" if score.verdict is None else _yes(score.verdict.right),
            "–" if score.verdict is None else _yes(score.verdict.in_order),
        )
        for score in scores
    ]


def _yes(answer: bool) -> str:
    return "yes" if answer else "NO"


def machine() -> str:
    """Processor, cores, memory and the versions that decide speed."""
    models = re.findall(r"model name\s*:\s*(.*)", _read("/proc/cpuinfo"))
    cores = len(os.sched_getaffinity(0))
    memory = psutil.virtual_memory().total / (1 << 30)
    versions = ", ".join(f"{name} {version(name)}" for name in VERSIONS)
    processor = models[0] if models else platform.machine()
    return (
        f"{processor}, {cores} cores, {memory:.0f} GiB; {platform.system()}, "
        f"Python {platform.python_version()}; {versions}"
    )


def _read(path: str) -> str:
    file = Path(path)
    return file.read_text(encoding="utf-8") if file.exists() else ""


def section(title: str, command: str, scores: Sequence[Score]) -> str:
    """The measurements as Markdown under a heading of their own."""
    lines = ["| " + " | ".join(row) + " |" for row in [COLUMNS, *table_rows(scores)]]
    lines.insert(1, "|---" + "|--:" * (len(COLUMNS) - 1) + "|")
    today = datetime.now(UTC).date().isoformat()
    table = "\n".join(lines)
    return f"## {title}\n\n`{command}` · {today}\n\n{table}\n\n{machine()}\n"


def publish(file: Path, new: str) -> None:
    """Put a section into `file`, in the place of an older one with the same heading."""
    heading = new.splitlines()[0]
    old = _read(str(file)) or "# Benchmarks\n\nHow they are made: `benchmarks/README.md`.\n"
    before, found, rest = old.partition(f"\n{heading}\n")
    _, following, after = rest.partition("\n## ")
    tail = f"\n## {after}" if found and following else ""
    file.write_text(f"{before.rstrip()}\n\n{new}{tail}", encoding="utf-8")
