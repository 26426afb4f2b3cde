"""Runs the contestants of one workload in turns and writes what came out.

python -m benchmarks.run texts
python -m benchmarks.run floats --rows 1000000 --rounds 3
python -m benchmarks.run memory
python -m benchmarks.run echo
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import inputs
from benchmarks.measure import measure
from benchmarks.ray_environment import ray_python
from benchmarks.report import COLUMNS, Score, publish, section, table_rows
from benchmarks.results import Verdict, compare, read_results

DOCUMENT = Path("docs/benchmarks.md")
MEMORY_MILLIONS = (1, 4, 10)


@dataclass(frozen=True, slots=True)
class Case:
    """One contestant on one input; the first case of a list is what the others are held to."""

    name: str
    program: str
    workload: str
    input: Path
    model: Path

    def command(self, python: Path, output: Path) -> list[str]:
        program = f"benchmarks.contestants.{self.program}"
        places = [str(self.input), str(self.model), str(output)]
        return [str(python), "-m", program, self.workload, *places]


def texts(work: Path, rows: int) -> list[Case]:
    source = inputs.texts(work / "texts.jsonl", rows)
    model = inputs.embedding_model()
    return [
        Case("bare loop (encode)", "bare_loop", "texts", source, model),
        Case("millrace run", "millrace_run", "texts", source, model),
        Case("Ray Data map_batches", "ray_map_batches", "texts", source, model),
    ]


def floats(work: Path, rows: int) -> list[Case]:
    source = inputs.floats(work / f"floats-{rows}.parquet", rows)
    model = inputs.mlp(work / "mlp")
    return [
        Case("bare loop", "bare_loop", "floats", source, model),
        Case("millrace run", "millrace_run", "floats", source, model),
    ]


def memory(work: Path, rows: int) -> list[Case]:
    """Millrace alone, on `rows`, four times and ten times as many."""
    model = inputs.mlp(work / "mlp")
    sizes = [rows * millions for millions in MEMORY_MILLIONS]
    return [
        Case(
            f"millrace run, {size:,} rows",
            "millrace_run",
            "floats",
            inputs.floats(work / f"floats-{size}.parquet", size),
            model,
        )
        for size in sizes
    ]


def echo(work: Path, rows: int) -> list[Case]:
    source = inputs.echo(work / "echo.jsonl", rows)
    return [Case(f"millrace run, echo, {rows} rows", "millrace_run", "echo", source, work)]


@dataclass(frozen=True, slots=True)
class Workload:
    title: str
    cases: Callable[[Path, int], list[Case]]
    rows: int


WORKLOADS = {
    "texts": Workload("Embedding texts of mixed length", texts, 10_000),
    "floats": Workload("A small network over 64 floats a row", floats, 1_000_000),
    "memory": Workload("Memory, as the input grows", memory, 1_000_000),
    "echo": Workload("Start to exit of a tiny job", echo, 10),
}


def python_of(case: Case, work: Path) -> Path:
    return (
        ray_python(work / "venv-ray") if case.program == "ray_map_batches" else Path(sys.executable)
    )


def play(cases: list[Case], rounds: int, work: Path) -> list[Score]:
    """Every case once a round, one after the other, each into an empty folder of ``outputs``."""
    outputs = work / "outputs"
    pythons = [python_of(case, work) for case in cases]
    scores = [Score(case.name) for case in cases]
    environment = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    for number in range(rounds):
        shutil.rmtree(outputs, ignore_errors=True)
        outputs.mkdir(parents=True)
        for place, (case, score) in enumerate(zip(cases, scores, strict=True)):
            command = case.command(pythons[place], outputs / str(place))
            score.runs.append(measure(command, environment, outputs / f"{place}.log"))
            done = f"{case.name}: {score.runs[-1].wall_seconds:.1f} s"
            print(f"round {number + 1} of {rounds}, {done}", flush=True)
    return scores


def judge(cases: list[Case], scores: list[Score], outputs: Path) -> None:
    """Hold the last outputs against the bare loop's, or let Millrace verify its own."""
    reference = read_results(outputs / "0") if cases[0].program == "bare_loop" else None
    for place, score in enumerate(scores):
        if reference is not None:
            score.verdict = compare(read_results(outputs / str(place)), reference)
        else:
            subprocess.run(
                ["millrace", "verify", outputs / str(place)], check=True, stdout=subprocess.DEVNULL
            )
            score.verdict = Verdict(complete=True, in_order=True, cosine=1.0)


def show(title: str, scores: list[Score]) -> None:
    table = Table(*COLUMNS, title=title, title_justify="left")
    for row in table_rows(scores):
        table.add_row(*row)
    Console().print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure Millrace beside others.")
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("--rows", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without", action="append", default=[], help="a contestant's file name")
    parser.add_argument("--work", type=Path, default=Path(".bench"))
    parser.add_argument("--no-document", action="store_true", help=f"leave {DOCUMENT} as it is")
    arguments = parser.parse_args()

    workload = WORKLOADS[arguments.workload]
    arguments.work.mkdir(parents=True, exist_ok=True)
    cases = workload.cases(arguments.work, arguments.rows or workload.rows)
    cases = [case for case in cases if case.program not in arguments.without]
    scores = play(cases, arguments.rounds, arguments.work)
    judge(cases, scores, arguments.work / "outputs")
    show(workload.title, scores)
    if not arguments.no_document:
        command = f"python -m benchmarks.run {shlex.join(sys.argv[1:])}"
        publish(DOCUMENT, section(workload.title, command, scores))
    return 0 if all(score.verdict and score.verdict.right for score in scores) else 1


if __name__ == "__main__":
    sys.exit(main())
