"""What a worker makes of its compute process: an answer, a crash with its suspects, or an end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from millrace import storage
from millrace.datasets import encode_schema
from millrace.db.session import Database
from millrace.types import Input
from tests import jobs as stage
from tests import rogues
from tests.integration.conftest import StartChild
from tests.lifecycle.stage import chunk_row
from tests.waiting import gone, until
from workers.child import Abandoned, Answer, ComputeChild, Crashed, Entry
from workers.order import Finished, Progress, WorkOrder


def order(folder: Path, *lines: str) -> WorkOrder:
    """Echo these lines; the reading side is that of `test_compute`."""
    stage.written(folder, lines)
    pinned = storage.for_uri("file://").info(storage.normalise(str(folder / "in" / "0.jsonl")))
    source = Input(0, pinned.uri, "jsonl", pinned.size, pinned.version, 0, pinned.size, True)
    return WorkOrder(
        job_id="job",
        idx=0,
        attempt=1,
        token="a" * 32,
        start=0,
        end=pinned.size,
        inputs=(source,),
        arrow_schema=encode_schema(pa.schema([("id", pa.int64()), ("text", pa.string())])),
        asked=stage.spec_of(folder).model_dump_json(),
        part_stem="0-a1-aaaaaaaa",
    )


def execute(
    child: ComputeChild,
    order: WorkOrder,
    on_progress: Callable[[Progress], None],
    interrupted: Callable[[], str | None],
) -> Answer:
    child.give(order)
    return child.answer(on_progress, interrupted)


def never() -> None:
    return None


def nothing(progress: Progress) -> None:
    return None


def test_an_order_is_answered_and_the_process_stays(compute: StartChild, tmp_path: Path) -> None:
    child, heard = compute(), list[Progress]()

    answer = execute(child, order(tmp_path, *stage.texts(5)), heard.append, never)
    first = child.pid
    again = execute(child, order(tmp_path, *stage.texts(5)), nothing, never)

    assert isinstance(answer, Finished)
    assert (answer.rows_ok, answer.rows_err) == (5, 0)
    assert heard[-1].rows == 5
    assert isinstance(again, Finished)
    assert child.pid == first


def test_a_killed_process_is_noticed_at_once(compute: StartChild, tmp_path: Path) -> None:
    """F4: no lease has to run out first, and the rows in flight are the suspects."""
    child = compute()
    lines = stage.texts(3, _1="::hang")
    killed_at = list[float]()

    def kill(progress: Progress) -> None:
        if progress.in_flight:
            assert child.pid is not None
            killed_at.append(time.monotonic())
            os.kill(child.pid, signal.SIGKILL)

    answer = execute(child, order(tmp_path, *lines), kill, never)

    assert time.monotonic() - killed_at[0] < 5
    starts = (0, len(lines[0]) + 1, len(lines[0]) + len(lines[1]) + 2)
    assert answer == Crashed("killed by SIGKILL", starts, loaded=True)
    assert child.pid is None


def test_an_exit_is_told_with_its_status(compute: StartChild, tmp_path: Path) -> None:
    child = compute()
    answer = execute(child, order(tmp_path, *stage.texts(1, _0="::exit 3")), nothing, never)
    assert answer == Crashed("exited with status 3", (0,), loaded=True)
    after = execute(child, order(tmp_path / "next", *stage.texts(2)), nothing, never)
    assert isinstance(after, Finished)


@pytest.mark.parametrize(
    ("rogue", "suspects"),
    [(rogues.babble, (4, 5)), (rogues.exaggerate, ()), (rogues.usurp, ())],
    ids=["garbage", "oversized", "foreign token"],
)
def test_what_is_no_answer_is_a_crash(
    compute: StartChild, tmp_path: Path, rogue: Entry, suspects: tuple[int, ...]
) -> None:
    """F14"""
    child = compute(rogue)
    child.start()
    pid = child.pid
    assert pid is not None

    answer = execute(child, order(tmp_path, *stage.texts(1)), nothing, never)

    assert isinstance(answer, Crashed)
    assert answer.suspects == suspects
    assert "CHILD_PROTOCOL" in answer.detail
    assert gone(pid)


def test_a_process_that_stops_in_mid_word_can_be_ended(compute: StartChild, tmp_path: Path) -> None:
    """F14: half a message must not keep the worker from looking at its lease."""
    child, heard = compute(rogues.falter), list[Progress]()
    answer = execute(
        child, order(tmp_path, *stage.texts(1)), heard.append, lambda: "stalled" if heard else None
    )
    assert answer == Abandoned("stalled", (6,))
    assert child.pid is None


def test_a_crash_is_noticed_though_a_fork_holds_the_pipe(
    compute: StartChild, tmp_path: Path
) -> None:
    """F4, as with a data loader's processes: nobody but the kernel closes their copy of it."""
    answer = execute(compute(rogues.bequeath), order(tmp_path, *stage.texts(1)), nothing, never)
    assert isinstance(answer, Crashed)
    assert answer.detail == "exited with status 5"
    os.kill(answer.suspects[0], signal.SIGKILL)


_INTERRUPT = """
from pathlib import Path
from millrace import lifeline
from tests import rogues
from tests.integration.test_child import execute, order
from workers.child import Abandoned, ComputeChild
from workers.spawn import ComputeSettings
import psutil, sys

if __name__ == "__main__":
    lifeline.adopt_orphans()
    heard = []
    child = ComputeChild(ComputeSettings(device="cpu"), rogues.multiply)
    answer = execute(child,
        order(Path(sys.argv[1]), "{}"), heard.append, lambda: "drained" if heard else None
    )
    left = [each.pid for each in psutil.Process().children(recursive=True)
            if "resource_tracker" not in " ".join(each.cmdline())]
    print(answer.reason, left, *answer.suspects)
"""


def test_nothing_of_an_interrupted_process_survives(tmp_path: Path) -> None:
    """F13: children and daemons of a process that ignores SIGTERM; no zombie stays either."""
    ended = subprocess.run(
        [sys.executable, "-c", _INTERRUPT, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    reason, left, *family = ended.stdout.split()
    assert (reason, left) == ("drained", "[]")
    assert len(family) == 3
    assert all(gone(int(pid)) for pid in family)


def test_an_interruption_ends_the_wait(compute: StartChild, tmp_path: Path) -> None:
    child, heard = compute(), list[Progress]()
    answer = execute(
        child,
        order(tmp_path, *stage.texts(1, _0="::hang")),
        heard.append,
        lambda: "stalled" if heard and heard[-1].in_flight else None,
    )
    assert answer == Abandoned("stalled", (0,))
    assert child.pid is None


def test_who_kills_it_from_another_thread_is_no_crash(compute: StartChild, tmp_path: Path) -> None:
    """Its authority was gone, and so it was shot: that must not count against a row."""
    child, shot = compute(), list[int]()

    def interrupted() -> str | None:
        if shot:
            return "lost"
        if child.pid is not None and child.model is not None:
            shot.append(child.pid)
            child.shoot()
        return None

    answer = execute(child, order(tmp_path, *stage.texts(1, _0="::hang")), nothing, interrupted)
    assert isinstance(answer, Abandoned)
    assert answer.reason == "lost"
    assert gone(shot[0])


def test_orders_given_ahead_are_answered_one_by_one(compute: StartChild, tmp_path: Path) -> None:
    child = compute()
    first = order(tmp_path / "a", *stage.texts(5))
    second = order(tmp_path / "b", *stage.texts(7)).model_copy(update={"token": "b" * 32})
    child.give(first)
    child.give(second)
    answers = [child.answer(nothing, never), child.answer(nothing, never)]
    assert [each.rows_ok for each in answers if isinstance(each, Finished)] == [5, 7]
    assert not child.busy


def test_an_order_given_to_a_process_that_has_died_waits_for_the_verdict(
    compute: StartChild, tmp_path: Path
) -> None:
    """F59: a worker that is slow to hand out the next order must not take its answer for that of
    the one that died.
    """
    child = compute()
    deadly = order(tmp_path / "a", *stage.texts(1, _0="::exit 0"))
    harmless = order(tmp_path / "b", *stage.texts(2)).model_copy(update={"token": "b" * 32})
    child.give(deadly)
    until(lambda: not child._process.is_alive(), "the process has died of its order")

    child.give(harmless)

    died = Crashed("exited with status 0", (0,), loaded=True)
    assert child.answer(nothing, never) == died
    assert not child.busy
    assert isinstance(execute(child, harmless, nothing, never), Finished)


def test_other_processes_are_left_alone(compute: StartChild, tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "600"]) as bystander:
        child = compute(rogues.babble)
        execute(child, order(tmp_path, *stage.texts(1)), nothing, never)
        assert bystander.poll() is None
        bystander.kill()


def test_a_process_dies_with_its_worker(database: Database, tmp_path: Path) -> None:
    """F5: kill -9 of the worker alone ends even a process that listens to nobody."""
    stage.written(tmp_path, stage.texts(1, _0="::hang"))
    job_id = stage.started(database, tmp_path)
    settings = {"MILLRACE_STATE": str(tmp_path / "state"), "MILLRACE_HEARTBEAT_SECONDS": "0.1"}
    worker = psutil.Popen(
        [sys.executable, "-P", "-m", "workers", "--id", "mortal"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **settings},
        stderr=subprocess.DEVNULL,
    )
    try:
        computing = _spawned(worker)
        until(lambda: chunk_row(database, job_id).in_flight, "the process hangs")
    finally:
        worker.kill()
        worker.wait(10)
    until(lambda: gone(computing), "the compute process is gone")


def _spawned(worker: psutil.Process) -> int:
    found: list[int] = []

    def look() -> bool:
        found[:] = [
            each.pid for each in worker.children() if any("spawn_main" in a for a in each.cmdline())
        ]
        return bool(found)

    until(look, "the worker starts a compute process")
    return found[0]
