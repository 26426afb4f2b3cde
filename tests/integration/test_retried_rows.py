"""A partial job and the one that retries its rows, with real compute processes and real files."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from millrace.db.session import Database
from millrace.front.retrying import retry_rows
from millrace.lifecycle import jobs
from millrace.lifecycle.queries import JobView
from millrace.manifest import Manifest, sha256
from millrace.registry.fingerprint import sha256_of
from millrace.spec import ModelRef
from millrace.storage.uri import local_path
from millrace.types import JobId, JobState
from millrace.verification import verify
from scheduler.planner import Planner
from tests import jobs as stage
from tests.integration.conftest import StartChild
from tests.running import carry_out, runner_of
from tests.waiting import until
from workers.child import ComputeChild
from workers.chunk_runner import ChunkRunner
from workers.spawn import ComputeSettings

PREDICTOR = """
import json
import os
from pathlib import Path

from millrace.predictor import Predictor

HERE = Path(__file__).parent

class Moody(Predictor):
    max_rows = 4

    def prepare(self, batch):
        mood = json.loads((HERE / "mood.json").read_text())
        if any(id in mood.get("kill_ahead", ()) for id in batch["id"]):
            os._exit(9)
        return batch

    def predict(self, batch):
        mood = json.loads((HERE / "mood.json").read_text())
        with (HERE / "seen").open("a") as seen:
            seen.writelines(f"{id}\\n" for id in batch["id"])
        if any(id in mood.get("kill", ()) for id in batch["id"]):
            os._exit(9)
        if any(id in mood.get("refuse", ()) for id in batch["id"]):
            raise ValueError("not today")
        say = eval(mood.get("say", "lambda id: f'{id}, \\\\n\\"{id}\\"'"))
        return {"said": [say(id) for id in batch["id"]]}
"""
ROWS = 60
FIRST = [3, 4, 11, *range(24, 36), 59]
"""Rows that fail at first: some of a block, all of a block, the last one, none of another block."""
BAD = 40
"""The row that is no row, and never will be."""


@pytest.fixture(scope="module")
def child() -> Iterator[ComputeChild]:
    child = ComputeChild(ComputeSettings(device="cpu"))
    yield child
    child.kill()


@pytest.fixture
def runner(database: Database, child: ComputeChild, tmp_path: Path) -> ChunkRunner:
    return runner_of(database, child, tmp_path, max_batch=1)


def mood(folder: Path, **changes: Any) -> None:
    (folder / "mood.json").write_text(json.dumps(changes))
    (folder / "seen").write_text("")


def seen(folder: Path) -> list[int]:
    """The rows that the predictor was given since its mood changed."""
    return sorted(map(int, (folder / "seen").read_text().split()))


def begin(database: Database, job_id: JobId) -> None:
    Planner(database, slots=1, interval=1.0).tick(0.0)
    with database.write() as connection:
        assert jobs.start(connection, job_id), stage.seen(database, job_id).reason


def ended(database: Database, runner: ChunkRunner, job_id: JobId) -> JobView:
    begin(database, job_id)
    carry_out(database, runner, job_id)
    return stage.seen(database, job_id)


def first_run(
    database: Database, runner: ChunkRunner, folder: Path, lines: list[str], **changes: Any
) -> JobView:
    file = folder / "moody.py"
    file.write_text(PREDICTOR)
    model = ModelRef(engine="python", location=f"{file}:Moody", sha256=sha256_of(file))
    stage.written(folder, lines[:25], lines[25:])
    told = {"model": model, "options": {}, "chunk_rows": 12} | changes
    job = ended(database, runner, stage.submitted(database, folder, **told))
    assert job.state is JobState.PARTIAL, job.reason
    return job


def retried(database: Database, runner: ChunkRunner, job: JobView) -> JobView:
    child = retry_rows(database, job.id, None).job
    return ended(database, runner, child.id)


def lines() -> list[str]:
    return ["{bad" if row == BAD else json.dumps({"id": row}) for row in range(ROWS)]


def manifest_of(job: JobView) -> Manifest:
    return Manifest.from_bytes(stage.manifest_bytes(job))


def parts(job: JobView) -> list[Path]:
    folder = local_path(job.spec.output)
    return [folder / part.path for part in manifest_of(job).parts]


def results(job: JobView) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in parts(job):
        match job.spec.output_format:
            case "jsonl":
                found += map(json.loads, path.read_text().splitlines())
            case "csv":
                with path.open(newline="") as rows:
                    found += csv.DictReader(rows)
            case "parquet":
                found += pq.read_table(path).to_pylist()
    return found


def snapshot(job: JobView) -> dict[str, bytes]:
    files = (path for path in local_path(job.spec.output).rglob("*") if path.is_file())
    return {path.name: path.read_bytes() for path in files}


def sound(job: JobView) -> None:
    verdict = verify(job.spec.output)
    assert (verdict.faults, verdict.notes) == ((), ())


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("join", ["none", "key", "input"])
def test_only_what_failed_is_computed_and_all_is_there(
    database: Database, runner: ChunkRunner, tmp_path: Path, form: str, join: str
) -> None:
    mood(tmp_path, refuse=FIRST)
    told = {"output_format": form, "join": join, "key": "id" if join == "key" else None}
    parent = first_run(database, runner, tmp_path, lines(), **told)
    before = snapshot(parent)
    assert len(stage.errors(parent)) == len(FIRST) + 1

    mood(tmp_path)
    child = retried(database, runner, parent)

    assert seen(tmp_path) == FIRST
    assert child.state is JobState.PARTIAL
    assert [each["row"] for each in stage.errors(child)] == [BAD]
    said = [row["said"] for row in results(child)]
    assert said == [f'{row}, \n"{row}"' for row in range(ROWS) if row != BAD]
    if join != "none":
        assert [int(row["id"]) for row in results(child)] == [n for n in range(ROWS) if n != BAD]
    sound(child)
    assert snapshot(parent) == before
    manifest = manifest_of(child)
    assert manifest.parent is not None
    assert manifest.parent.job == parent.id
    assert manifest.parent.manifest_sha256 == sha256(stage.manifest_bytes(parent))


def test_good_rows_are_taken_over_byte_for_byte(
    database: Database, runner: ChunkRunner, tmp_path: Path
) -> None:
    mood(tmp_path, refuse=FIRST, say="lambda id: 'first'")
    parent = first_run(database, runner, tmp_path, lines())

    mood(tmp_path, say="lambda id: 'second'")
    child = retried(database, runner, parent)

    old = [line for path in parts(parent) for line in path.read_bytes().splitlines()]
    new = [line for path in parts(child) for line in path.read_bytes().splitlines()]
    assert [line for line in new if b"first" in line] == old
    assert [json.loads(line)["id"] for line in new if b"second" in line] == FIRST
    whole = {part.sha256 for part in manifest_of(parent).parts if part.rows == part.rows_in}
    assert len(whole) > 1
    assert whole < {part.sha256 for part in manifest_of(child).parts}


def test_rows_fail_again_and_the_chain_goes_on(
    database: Database, runner: ChunkRunner, tmp_path: Path
) -> None:
    mood(tmp_path, refuse=FIRST)
    jobs_of_chain = [first_run(database, runner, tmp_path, lines())]
    for left in (FIRST[2:], FIRST[2:], FIRST[-2:], []):
        expected = [each["row"] for each in stage.errors(jobs_of_chain[-1]) if each["row"] != BAD]
        mood(tmp_path, refuse=left)
        jobs_of_chain.append(retried(database, runner, jobs_of_chain[-1]))
        # what is refused is tried once more by itself
        assert {*seen(tmp_path)} == {*expected}
        assert [each["row"] for each in stage.errors(jobs_of_chain[-1])] == sorted([*left, BAD])
        sound(jobs_of_chain[-1])
    names = [job.spec.output.rpartition("/")[2] for job in jobs_of_chain]
    assert names[1:] == [f"out-retry-{n}" for n in range(1, 5)]
    assert len(results(jobs_of_chain[-1])) == ROWS - 1


@pytest.mark.parametrize("how", ["kill", "kill_ahead"])
def test_a_row_that_kills_is_found_and_no_other_is_lost(
    database: Database, runner: ChunkRunner, tmp_path: Path, how: str
) -> None:
    mood(tmp_path, refuse=[1, 5, 6, 9, 30], kill=[20])
    parent = first_run(database, runner, tmp_path, [json.dumps({"id": n}) for n in range(ROWS)])
    assert {each["code"] for each in stage.errors(parent)} == {"PREDICT_ERROR", "WORKER_CRASHED"}

    mood(tmp_path, refuse=[30], **{how: [6]})
    child = retried(database, runner, parent)

    assert {*seen(tmp_path)} | {6} == {1, 5, 6, 9, 20, 30}
    found = {each["row"]: each["code"] for each in stage.errors(child)}
    assert found == {6: "WORKER_CRASHED", 30: "PREDICT_ERROR"}
    assert [row["id"] for row in results(child)] == [n for n in range(ROWS) if n not in (6, 30)]
    sound(child)

    mood(tmp_path)
    assert retried(database, runner, child).state is JobState.SUCCEEDED
    assert seen(tmp_path) == [6, 30]


@pytest.mark.parametrize("whole", [False, True], ids=["spliced", "copied"])
@pytest.mark.parametrize("harm", ["changed", "gone"])
def test_a_damaged_part_of_the_parent_ends_the_retry(
    database: Database, runner: ChunkRunner, tmp_path: Path, whole: bool, harm: str
) -> None:
    mood(tmp_path, refuse=FIRST)
    parent = first_run(database, runner, tmp_path, lines())
    child = retry_rows(database, parent.id, None).job
    entries = zip(parts(parent), manifest_of(parent).parts, strict=True)
    part = next(path for path, each in entries if (each.rows == each.rows_in) == whole)
    content = part.read_bytes()
    if harm == "gone":
        part.unlink()
    else:
        part.write_bytes(content.replace(b"1", b"7", 1))

    failed = ended(database, runner, child.id)

    assert (failed.state, failed.reason_code) == (JobState.FAILED, "PARENT_PART_DAMAGED")
    assert part.name in (failed.reason or "")
    part.write_bytes(content)
    mood(tmp_path)
    with database.write() as connection:
        jobs.retry(connection, child.id)
    carry_out(database, runner, child.id)
    sound(stage.seen(database, child.id))


def test_new_results_of_another_type_are_not_mixed_in(
    database: Database, runner: ChunkRunner, tmp_path: Path
) -> None:
    mood(tmp_path, refuse=FIRST, say="lambda id: id")
    parent = first_run(database, runner, tmp_path, lines(), output_format="parquet")
    mood(tmp_path, say="lambda id: id + 0.5")
    child = retried(database, runner, parent)
    assert (child.state, child.reason_code) == (JobState.FAILED, "COLUMN_TYPE")


def test_a_column_of_nulls_takes_the_new_type(
    database: Database, runner: ChunkRunner, tmp_path: Path
) -> None:
    mood(tmp_path, refuse=[3], say="lambda id: None")
    parent = first_run(database, runner, tmp_path, lines()[:BAD], output_format="parquet")
    mood(tmp_path, say="lambda id: 2.5")
    child = retried(database, runner, parent)
    assert child.state is JobState.SUCCEEDED, child.reason
    columns = [each.get("columns") for each in manifest_of(child).computed_by]
    assert {"id": "int64", "said": "double"} in columns
    assert {"id": "int64", "said": "null"} in columns
    assert [row["said"] for row in results(child)] == [
        2.5 if row == 3 else None for row in range(BAD)
    ]


def test_what_is_only_taken_over_needs_no_model(
    database: Database, runner: ChunkRunner, compute: StartChild, tmp_path: Path
) -> None:
    mood(tmp_path, refuse=[ROWS - 1])
    parent = first_run(database, runner, tmp_path, lines()[:BAD] + lines()[BAD + 1 :])
    child = retry_rows(database, parent.id, None).job
    (tmp_path / "moody.py").unlink()

    begin(database, child.id)
    runner = runner_of(database, compute(), tmp_path, max_batch=1)

    def refused() -> bool:
        runner.run_due(child.id)
        return stage.seen(database, child.id).state is JobState.FAILED

    until(refused, "the model is refused twice", 30)
    failed = stage.seen(database, child.id)
    assert failed.reason_code == "MODEL_NOT_FOUND"
    whole = [each.rows for each in manifest_of(parent).parts if each.rows == each.rows_in]
    assert stage.progress(database, child.id).rows_ok == sum(whole) > 0
