"""kill -9 of anything, twenty times over one job: every row once, nothing committed done again."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from millrace.db.session import Database
from millrace.lifecycle import events, queries
from millrace.lifecycle.events import Event
from tests.commands import Millrace, command

KILLS = 20
ROWS = 6_000
RUN = (
    *("run", "--model", "echo", "--option", "delay=0.01", "--input", "rows.jsonl"),
    *("--output", "out", "--key", "id", "--chunk-rows", "50", "--workers", "2"),
)


class Victim:
    """One `millrace run`, started again whenever it is gone."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._run = self._start()

    def _start(self) -> psutil.Popen:
        with (self._folder / "run.log").open("ab") as log:
            return psutil.Popen(
                command(*RUN),
                cwd=self._folder,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def finished(self) -> bool:
        """Whether the job came to its end; starts the run again where it was killed."""
        if self._run.poll() is not None and self._run.returncode != 0:
            self._run = self._start()
        return bool(self._run.poll() == 0)

    def kill(self, kind: str) -> bool:
        """Kill -9 the scheduler, a worker, a compute child or all; false where there is none."""
        try:
            family = self._run.children(recursive=True)
            workers = [each for each in family if "workers" in each.cmdline()]
            computing = [each for each in family if any("spawn_main" in a for a in each.cmdline())]
        except psutil.NoSuchProcess:
            return False
        chosen = {
            "worker": workers[:1],
            "compute": computing[:1],
            "scheduler": [self._run],
            "all": [self._run, *family],
        }[kind]
        for process in chosen:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        return bool(chosen)

    def end(self) -> None:
        if self._run.poll() is None:
            self._run.terminate()
            self._run.wait(20)


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [1])
def test_twenty_kills_lose_and_repeat_nothing(
    millrace: Millrace, tmp_path: Path, state: Path, environment: dict[str, str], seed: int
) -> None:
    rows = [json.dumps({"id": n, "text": f"row {n}"}) for n in range(ROWS)]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows))
    dice, victim = random.Random(seed), Victim(tmp_path, environment)
    try:
        for _ in range(KILLS):
            goal = _claims(state) + dice.randint(1, 4)
            kind = dice.choice(["worker", "compute", "scheduler", "all"])
            _until(lambda: victim.finished() or _claims(state) >= goal)  # noqa: B023
            _until(lambda: victim.finished() or victim.kill(kind))  # noqa: B023
        _until(victim.finished)
    finally:
        victim.end()

    assert millrace("verify", "out").returncode == 0
    history = _history(state)
    committed: set[int | None] = set()
    for event in history:
        assert event.verb != "claim" or event.idx not in committed, "committed work was done again"
        if event.verb == "commit":
            assert event.idx not in committed, "committed twice"
            committed.add(event.idx)
    manifest = json.loads((tmp_path / "out/_MANIFEST.json").read_bytes())
    texts = [(tmp_path / "out" / part["path"]).read_text() for part in manifest["parts"]]
    ids = [json.loads(line)["id"] for text in texts for line in text.splitlines()]
    assert ids == list(range(ROWS))


def _until(holds: Callable[[], object], seconds: float = 120) -> None:
    limit = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < limit, "waited in vain"


def _claims(state: Path) -> int:
    return sum(event.verb == "claim" for event in _history(state))


def _history(state: Path) -> list[Event]:
    """All events of the one job; none while there is no database yet."""
    if not (state / "millrace.db").exists():
        return []
    database = Database.connect(f"sqlite:///{state / 'millrace.db'}")
    try:
        with database.read() as connection:
            jobs = queries.jobs(connection, limit=1)
            found: list[Event] = []
            while jobs and (page := events.page(connection, jobs[0].id, after=_last(found))):
                found += page
            return found
    except Exception:
        return []
    finally:
        database.close()


def _last(found: list[Event]) -> int:
    return found[-1].id if found else 0
