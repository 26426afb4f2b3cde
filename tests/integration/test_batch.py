"""Several chunks claimed at once: what happens to one of them is no business of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.db.session import Database
from millrace.failpoints import arm
from millrace.lifecycle import chunks, events, jobs, queries
from millrace.types import ChunkState, JobId, JobState, Lease, Span
from tests import jobs as stage
from tests import rogues
from tests.integration.conftest import StartChild
from tests.lifecycle.stage import chunk_row, job_row
from tests.running import carry_out, runner_of, running, verbs
from tests.waiting import until
from workers.child import ComputeChild
from workers.chunk_runner import ChunkRunner
from workers.order import WorkOrder
from workers.spawn import ComputeSettings


def practised(runner: ChunkRunner, job_id: JobId, each: float = 0.001) -> ChunkRunner:
    """A runner that takes the chunks of the job for such that last `each` seconds."""
    for _ in range(3):
        runner._bench.pace.learn(job_id, 1, each)
    return runner


def released(database: Database, job_id: JobId) -> dict[int | None, str]:
    """Why each chunk was released that was."""
    with database.read() as connection:
        found = events.page(connection, job_id, limit=1_000)
    return {
        each.idx: str((each.detail or {}).get("reason")) for each in found if each.verb == "release"
    }


def lease_of(database: Database, job_id: JobId, idx: int) -> Lease:
    """The authority that somebody has over a chunk."""
    row = chunk_row(database, job_id, idx)
    span = Span(row.start_pos, row.end_pos)
    return Lease(job_id, idx, row.kind, span, row.attempt, row.token, row.owner, 0, ())


def committed(database: Database, job_id: JobId) -> int:
    return stage.progress(database, job_id).chunks[ChunkState.COMMITTED]


def test_batches_grow_and_commit_in_groups(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    stage.written(tmp_path, stage.texts(100))
    job_id = stage.started(database, tmp_path, chunk_rows=1)
    runner = runner_of(database, compute(), tmp_path)
    batches = 0
    while runner.run_due(job_id):
        batches += 1
    assert committed(database, job_id) == job_row(database, job_id).chunks_planned >= 100
    assert batches < 10
    with database.read() as connection:
        found = events.page(connection, job_id, limit=1_000)
    transactions = {each.at for each in found if each.verb == "commit"}
    assert len(transactions) < 50
    assert all(queries_verbs == ["claim", "commit"] for queries_verbs in _by_chunk(found))


def _by_chunk(found: list[events.Event]) -> list[list[str]]:
    idxs = {each.idx for each in found if each.idx is not None}
    return [[each.verb for each in found if each.idx == idx] for idx in idxs]


def test_a_crash_counts_against_the_one_that_ran(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    """The others of its batch had their orders in the pipe of the process that died."""
    stage.written(tmp_path, stage.texts(30, _9="::exit"))
    job_id = stage.started(database, tmp_path, chunk_rows=1)
    runner = runner_of(database, compute(), tmp_path, batch_seconds=60.0)
    practised(runner, job_id)
    carry_out(database, runner, job_id)
    job = stage.seen(database, job_id)
    assert job.state is JobState.PARTIAL
    assert [row["id"] for row in stage.results(job)] == [n for n in range(30) if n != 9]
    planned = job_row(database, job_id).chunks_planned
    rows = [chunk_row(database, job_id, idx) for idx in range(planned)]
    assert sum(row.crash_count > 0 for row in rows) == 1
    assert all(row.attempt == 1 for row in rows if row.crash_count == 0), "none was claimed again"


class HandedLate(ComputeChild):
    """A worker so busy that the process has died of the row at `deadly` before the next order."""

    deadly = 0

    def give(self, order: WorkOrder) -> None:
        if any(given.start <= self.deadly < given.end for given in self._given):
            until(lambda: not self._process.is_alive(), "it has died of its order")
        super().give(order)


def test_the_answer_to_an_empty_chunk_loses_no_row(database: Database, tmp_path: Path) -> None:
    """F59: it was given to the process that followed, when the row before it was not answered."""
    lines = stage.texts(2, _1="::exit 0")
    stage.written(tmp_path, lines)
    job_id = stage.started(database, tmp_path, chunk_bytes=7)
    child = HandedLate(ComputeSettings(device="cpu"))
    child.deadly = len(lines[0]) + 1
    runner = practised(runner_of(database, child, tmp_path, batch_seconds=60.0), job_id)
    try:
        carry_out(database, runner, job_id)
    finally:
        child.kill()
    job = stage.seen(database, job_id)
    assert [row["id"] for row in stage.results(job)] == [0]
    assert [(row["row"], row["code"]) for row in stage.errors(job)] == [(1, "WORKER_CRASHED")]


def test_a_process_that_lies_is_replaced_for_each_of_a_batch(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    """F14: what it was given beside is given to the next one."""
    stage.written(tmp_path, stage.texts(3))
    job_id = stage.started(database, tmp_path, chunk_rows=1)
    runner = practised(runner_of(database, compute(rogues.boast), tmp_path), job_id)
    assert runner.run_due(job_id)
    planned = job_row(database, job_id).chunks_planned
    rows = [chunk_row(database, job_id, idx) for idx in range(planned)]
    assert [(row.state, row.crash_count, row.infra_count) for row in rows] == [
        ("pending", 1, 0)
    ] * planned


def test_a_lost_member_is_dropped_and_the_process_lives(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    stage.written(tmp_path, stage.texts(6, _1="::sleep 1.0"))
    job_id = stage.started(database, tmp_path, chunk_rows=1)
    child = compute()
    runner = practised(runner_of(database, child, tmp_path), job_id)
    child.start()
    first = child.pid
    with running(lambda: runner.run_due(job_id)):
        until(lambda: chunk_row(database, job_id, 3).state == "leased", "it is claimed")
        lost = lease_of(database, job_id, 3)
        with database.write() as connection:
            chunks.release(connection, lost, infra=False, delay=0.0, reason="by somebody else")
    assert child.pid == first
    assert verbs(database, job_id, 2) == ["claim", "commit"]
    assert verbs(database, job_id, 3) == ["claim", "release"]


def test_what_was_lost_before_its_turn_is_not_computed(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    stage.written(tmp_path, stage.texts(12))
    slow = {"scripted": True, "delay": 0.3}
    job_id = stage.started(database, tmp_path, chunk_rows=1, options=slow)
    runner = runner_of(database, compute(), tmp_path, batch_seconds=30.0)
    practised(runner, job_id, each=0.3)
    with running(lambda: runner.run_due(job_id)):
        until(lambda: chunk_row(database, job_id, 6).state == "leased", "it is claimed")
        lost = lease_of(database, job_id, 6)
        with database.write() as connection:
            chunks.release(connection, lost, infra=False, delay=0.0, reason="by somebody else")
    assert chunk_row(database, job_id, 7).state == "committed"
    parts = [path.name for path in (tmp_path / "out" / "parts").iterdir()]
    assert not [name for name in parts if int(name.split("-")[0]) == lost.span.start]


def test_a_cancelled_job_is_let_go_at_once(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    """It cannot end while somebody holds a chunk of it, and the lease would be long."""
    stage.written(tmp_path, stage.texts(12))
    slow = {"scripted": True, "delay": 0.3}
    job_id = stage.started(database, tmp_path, chunk_rows=1, options=slow)
    runner = runner_of(database, compute(), tmp_path, batch_seconds=30.0)
    practised(runner, job_id, each=0.3)
    with running(lambda: runner.run_due(job_id)):
        until(lambda: chunk_row(database, job_id, 6).state == "leased", "it is claimed")
        with database.write() as connection:
            jobs.cancel(connection, job_id)
    with database.write() as connection:
        assert jobs.close_cancelled(connection, job_id)


def test_a_pause_lets_the_running_chunk_end_and_no_other_begin(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    stage.written(tmp_path, stage.texts(12))
    slow = {"scripted": True, "delay": 0.6}
    job_id = stage.started(database, tmp_path, chunk_rows=1, options=slow)
    runner = runner_of(database, compute(), tmp_path, batch_seconds=30.0)
    practised(runner, job_id, each=0.6)
    with running(lambda: runner.run_due(job_id)):
        until(lambda: committed(database, job_id), "the first is committed")
        with database.write() as connection:
            jobs.pause(connection, job_id)
    done = committed(database, job_id)
    assert 1 <= done <= 4
    reasons = released(database, job_id)
    assert set(reasons.values()) == {"the job is paused"}
    assert len(reasons) + done == job_row(database, job_id).chunks_planned


def test_what_takes_longer_than_thought_is_left_to_others(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    stage.written(tmp_path, stage.texts(12))
    slow = {"scripted": True, "delay": 0.4}
    job_id = stage.started(database, tmp_path, chunk_rows=1, options=slow)
    runner = runner_of(database, compute(), tmp_path, batch_seconds=0.3)
    practised(runner, job_id, each=0.025)
    assert runner.run_due(job_id)
    reasons = released(database, job_id)
    assert set(reasons.values()) == {"the batch takes longer than others did"}
    assert not any(chunk_row(database, job_id, idx).infra_count for idx in reasons if idx)
    assert runner._bench.pace.size(job_id) == 1, "it has learned"


def test_a_drain_ends_what_runs_and_releases_the_rest(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    """F15"""
    stage.written(tmp_path, stage.texts(12))
    slow = {"scripted": True, "delay": 0.6}
    job_id = stage.started(database, tmp_path, chunk_rows=1, options=slow)
    runner = runner_of(database, compute(), tmp_path, batch_seconds=30.0)
    practised(runner, job_id, each=0.01)
    with running(lambda: runner.run_due(job_id)):
        until(lambda: committed(database, job_id), "the first is committed")
        runner.drain(30.0)
    assert committed(database, job_id) <= 4
    assert set(released(database, job_id).values()) == {"the worker is going away"}
    assert not stage.progress(database, job_id).chunks[ChunkState.LEASED]


def test_a_full_disk_sends_this_machine_to_rest(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    """F56: other nodes finish the job meanwhile."""
    stage.written(tmp_path, stage.texts(6))
    job_id = stage.started(database, tmp_path, chunk_rows=1)
    sick = practised(runner_of(database, compute(rogues.overflow), tmp_path), job_id)

    assert sick.run_due(job_id)

    reasons = released(database, job_id)
    planned = job_row(database, job_id).chunks_planned
    assert len(reasons) == planned, "nothing is kept from others"
    assert sum("STORAGE_FULL" in reason for reason in reasons.values()) == 1
    assert sick.idle_by_choice
    assert not sick.run_due(job_id)
    healthy = runner_of(database, compute(), tmp_path)
    carry_out(database, healthy, job_id)
    assert stage.seen(database, job_id).state is JobState.SUCCEEDED


def test_a_disk_that_is_full_at_last_sends_this_machine_to_rest_too(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    """F56: a disk may take bytes and say only when they are settled that there is no room."""
    stage.written(tmp_path, stage.texts(6))
    job_id = stage.started(database, tmp_path, chunk_rows=1)
    sick = practised(runner_of(database, compute(), tmp_path), job_id)
    arm("s.before_settle=enospc")
    try:
        assert sick.run_due(job_id)
    finally:
        arm("")
    assert committed(database, job_id) == 0
    assert sick.idle_by_choice
    assert not stage.progress(database, job_id).chunks[ChunkState.LEASED]
    carry_out(database, runner_of(database, compute(), tmp_path), job_id)
    assert stage.seen(database, job_id).state is JobState.SUCCEEDED


@pytest.mark.parametrize("verb", [jobs.cancel, jobs.fail])
def test_a_job_that_ends_takes_its_whole_batch_along(
    database: Database, compute: StartChild, tmp_path: Path, verb: object
) -> None:
    """I11"""
    stage.written(tmp_path, stage.texts(6, _0="::sleep 60"))
    job_id = stage.started(database, tmp_path, chunk_rows=1)
    runner = practised(runner_of(database, compute(), tmp_path), job_id)
    with running(lambda: runner.run_due(job_id)):
        until(lambda: chunk_row(database, job_id).in_flight, "the first is computed")
        with database.write() as connection:
            if verb is jobs.cancel:
                jobs.cancel(connection, job_id)
            else:
                jobs.fail(connection, job_id, "TEST", "as the test wants it")
    assert committed(database, job_id) == 0


def test_an_order_that_nobody_reads_can_be_interrupted(
    database: Database, compute: StartChild, tmp_path: Path
) -> None:
    """An order larger than the pipe holds must not keep the worker from looking at its lease."""
    stage.written(tmp_path, stage.texts(3))
    job_id = stage.started(database, tmp_path, options={"scripted": True, "note": "x" * 2_000_000})
    runner = runner_of(database, compute(rogues.ignore), tmp_path, stall_seconds=1.0)
    assert runner.run_due(job_id)
    with database.read() as connection:
        assert queries.known_job(connection, job_id)
    assert "crash" in verbs(database, job_id) or "refuse_model" in verbs(database, job_id)
