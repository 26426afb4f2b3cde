"""What it costs to hand out work: chunks of one row through an empty model.

python -m benchmarks.orchestration
python -m benchmarks.orchestration --chunks 3000 --rounds 3 --without ray

Contestants take turns, each with its own servers, gone before the next one starts. Millrace commits
every chunk durably, writes every part with fsync, and publishes a manifest; the others keep results
in memory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.ray_environment import ray_python
from benchmarks.report import machine

_COLUMNS = f"{'':36}{'chunks/s':>10}{'of Celery':>12}   all rounds"


@dataclass(slots=True)
class Contestant:
    """A program of ``benchmarks/contestants`` and what it did in each round."""

    name: str
    program: str
    kind: str = ""
    rates: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return median(self.rates)


def contestants() -> list[Contestant]:
    return [
        Contestant("Celery, results in Redis", "tiny_celery"),
        Contestant("Millrace, Postgres and Valkey", "tiny_millrace", "postgres"),
        Contestant("Millrace, SQLite and Valkey", "tiny_millrace", "sqlite"),
        Contestant("Ray core", "tiny_ray"),
    ]


def play(contestant: Contestant, chunks: int, work: Path) -> float:
    """Chunks per second of one run in a new folder."""
    ours = contestant.program != "tiny_ray"
    python = Path(sys.executable) if ours else ray_python(work / "venv-ray")
    with tempfile.TemporaryDirectory(prefix="millrace-", dir=work) as folder:
        command = [str(python), "-m", f"benchmarks.contestants.{contestant.program}"]
        command += [str(chunks), str(Path(folder).absolute()), contestant.kind]
        log = Path(folder, "log")
        with log.open("wb") as said:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=said, check=False)
        if done.returncode:
            raise SystemExit(f"{contestant.name} failed:\n{log.read_text()[-3_000:]}")
    return chunks / float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orchestration")
    parser.add_argument("--chunks", type=int, default=3_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without", action="append", default=[], choices=["ray", "sqlite"])
    parser.add_argument("--work", type=Path, default=Path(".bench"))
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    left_out = {"ray": "tiny_ray", "sqlite": "sqlite"}
    gone = {left_out[name] for name in arguments.without}
    field_of = [each for each in contestants() if not gone & {each.program, each.kind}]
    for number in range(arguments.rounds):
        for each in field_of:
            each.rates.append(play(each, arguments.chunks, arguments.work))
            print(f"round {number + 1}: {each.name} {each.rates[-1]:,.0f} chunks/s", flush=True)
    print(f"\n{machine()}\n{arguments.chunks:,} chunks of one row, medians\n\n{_COLUMNS}")
    for each in field_of:
        rounds = " ".join(f"{rate:,.0f}" for rate in each.rates)
        print(
            f"{each.name:36}{each.rate:>10,.0f}{each.rate / field_of[0].rate:>10.2f} ×   {rounds}"
        )


if __name__ == "__main__":
    main()
