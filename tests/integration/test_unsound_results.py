"""Results that cannot be published, because of others or of ourselves, are computed again."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from millrace.db.session import Database
from millrace.errors import InvalidInput
from millrace.lifecycle import chunks, events, jobs, queries
from millrace.lifecycle.publication import RECOMPUTATIONS
from millrace.manifest import MANIFEST, tombstone
from millrace.types import ChunkResult, JobId, JobState, Reading
from millrace.verification import verify
from tests import jobs as stage
from tests.integration.conftest import StartChild
from tests.integration.publishing import ME, TTL, assert_whole, lease_of, output_of, snapshot
from tests.lifecycle.stage import chunk_row, job_row
from tests.running import carry_out, runner_of
from workers.finalise import publish

DAMAGES = ["deleted", "shortened", "errors deleted", "errors no JSON", "errors changed"]


def damage(output: Path, how: str) -> str:
    """Do that to a part which was committed, and return its name."""
    part = sorted((output / ("errors" if "error" in how else "parts")).iterdir())[0]
    if "deleted" in how:
        part.unlink()
    elif how == "shortened":
        part.write_bytes(part.read_bytes()[:-1])
    else:
        old, new = (b"{", b"?") if how == "errors no JSON" else (b"PREDICT", b"PRETEND")
        part.write_bytes(part.read_bytes().replace(old, new, 1))
    return part.name


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_part_is_computed_again(
    database: Database, frozen: JobId, compute: StartChild, tmp_path: Path, how: str
) -> None:
    """F54: the chunk alone, and the job ends as if nothing had been."""
    damaged = damage(output_of(database, frozen), how)

    publish(database, lease_of(database, frozen))

    assert stage.seen(database, frozen).state is JobState.RUNNING
    assert MANIFEST not in snapshot(output_of(database, frozen))
    with database.read() as connection:
        (again,) = queries.due(connection, limit=10, job_id=frozen)
    carry_out(database, runner_of(database, compute(), tmp_path), frozen)
    job = stage.seen(database, frozen)
    assert job.state is JobState.PARTIAL
    assert_whole(database, frozen)
    assert not verify(job.spec.output).faults
    assert damaged not in (path.split("/")[-1] for path in snapshot(output_of(database, frozen)))
    claims = Counter(event.idx for event in events_of(database, frozen) if event.verb == "claim")
    assert claims[again[1]] == 2
    (told,) = (event for event in events_of(database, frozen) if event.verb == "recompute")
    assert damaged in str(told.detail)


def test_everything_deleted_is_computed_again(
    database: Database, frozen: JobId, compute: StartChild, tmp_path: Path
) -> None:
    for folder in ("parts", "errors"):
        shutil.rmtree(output_of(database, frozen) / folder)
    carry_out(database, runner_of(database, compute(), tmp_path), frozen)
    assert_whole(database, frozen)


@pytest.mark.parametrize("row", [0, 3, 7])
def test_a_row_that_is_lost_on_the_way_is_found_and_computed(
    database: Database, compute: StartChild, tmp_path: Path, row: int
) -> None:
    """Whatever made somebody commit nothing for a chunk that has a row."""
    lines = stage.texts(8)
    stage.written(tmp_path, lines)
    job_id = stage.started(database, tmp_path, chunk_rows=2)
    at = row * len(f"{lines[0]}\n")
    planned = range(job_row(database, job_id).chunks_planned)
    (idx,) = (
        idx
        for idx in planned
        if chunk_row(database, job_id, idx).start_pos
        <= at
        < chunk_row(database, job_id, idx).end_pos
    )
    with database.write() as connection:
        lease = chunks.claim(connection, job_id, idx, ME, TTL)
        assert lease is not None
        chunks.commit(connection, lease, ChunkResult(0, 0, None, None, (Reading(0, 0),), {}))
    carry_out(database, runner_of(database, compute(), tmp_path), job_id)
    job = stage.seen(database, job_id)
    assert job.state is JobState.SUCCEEDED
    assert [each["id"] for each in stage.results(job)] == list(range(8))
    (told,) = (event for event in events_of(database, job_id) if event.verb == "recompute")
    assert (told.detail or {})["code"] == "ROWS_TORN"


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_part_is_not_published(database: Database, frozen: JobId, how: str) -> None:
    """Where somebody who fell silent may still put another manifest, nothing runs again."""
    output = output_of(database, frozen)
    damaged = damage(output, how)
    lease_of(database, frozen)

    with pytest.raises(InvalidInput) as refused:
        publish(database, lease_of(database, frozen))

    assert refused.value.code == "PART_DAMAGED"
    assert damaged in refused.value.message
    assert (output / MANIFEST).read_bytes() == tombstone(frozen)
    assert not (output / "_SUCCESS").exists()


def test_a_part_that_is_damaged_again_and_again_ends_the_job(
    database: Database, frozen: JobId, compute: StartChild, tmp_path: Path
) -> None:
    output, runner = output_of(database, frozen), runner_of(database, compute(), tmp_path)
    for _ in range(RECOMPUTATIONS + 1):
        damage(output, "deleted")
        assert runner.run_due(frozen), "it publishes, or sends back"
        while runner.run_due(frozen):
            pass
        with database.write() as connection:
            jobs.freeze(connection, frozen)
    job = stage.seen(database, frozen)
    assert (job.state, job.reason_code) == (JobState.FAILED, "PART_DAMAGED")
    assert (output / MANIFEST).read_bytes() == tombstone(frozen)


def events_of(database: Database, job_id: JobId) -> list[events.Event]:
    with database.read() as connection:
        return events.page(connection, job_id, limit=1_000)
