"""Publication: the same bytes however often it fails on the way, and nobody else's overwritten."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from millrace.clock import SystemClock
from millrace.db.session import Database
from millrace.errors import Conflict, InvalidInput, LeaseLost, Unavailable
from millrace.lifecycle import chunks, events, jobs, queries
from millrace.lifecycle.publication import RECOMPUTATIONS
from millrace.manifest import MANIFEST, Manifest, sha256, tombstone
from millrace.settings import Settings
from millrace.storage import uri
from millrace.types import ChunkState, JobId, JobState, Lease, WorkerId
from millrace.verification import verify
from tests import jobs as stage
from tests.faults import FaultyDatabase, FaultyStorage, Switch
from tests.integration.conftest import StartChild
from tests.lifecycle.stage import history
from tests.running import carry_out, runner_of
from workers.chunk_runner import ChunkRunner
from workers.finalise import publish

ME = WorkerId("publisher")
TTL = 60.0
Line = Callable[[Switch], None]


@pytest.fixture
def frozen(database: Database, compute: StartChild, tmp_path: Path) -> JobId:
    """A job of two files, six chunks, three bad rows and one that no process has survived."""
    first = [*stage.texts(30, _4="::raise"), "{bad", *stage.texts(9)]
    stage.written(tmp_path, first, stage.texts(20, _12="::raise"))
    job_id = stage.started(database, tmp_path, chunk_rows=12)
    runner = ChunkRunner(database, compute(), ME, Settings(state=tmp_path), SystemClock())
    _bury_first_row(database, job_id)
    while runner.run_due(job_id):
        pass
    with database.write() as connection:
        assert jobs.freeze(connection, job_id)
    return job_id


def _bury_first_row(database: Database, job_id: JobId) -> None:
    """What remains of a row that has killed its process again and again."""
    for idx in (0, 0, None, None):
        with database.write() as connection:
            at = idx if idx is not None else _chunk_of_first_row(database, job_id)
            lease = chunks.claim(connection, job_id, at, ME, TTL, now=4e9)
            assert lease is not None
            chunks.crash(connection, lease, [0], "killed by SIGSEGV", now=0.0)


def _chunk_of_first_row(database: Database, job_id: JobId) -> int:
    with database.read() as connection:
        return queries.due(connection, limit=1, job_id=job_id, now=4e9)[0][1]


def lease_of(database: Database, job_id: JobId) -> Lease:
    """Authority over the finalize chunk, whoever had it before."""
    with database.write() as connection:
        chunks.release_job(connection, job_id)
        found = queries.due(connection, limit=1, job_id=job_id, now=4e9)
        lease = chunks.claim(connection, *found[0], ME, TTL, now=4e9)
    assert lease is not None
    return lease


def output_of(database: Database, job_id: JobId) -> Path:
    return uri.local_path(stage.seen(database, job_id).spec.output)


def snapshot(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def through(monkeypatch: pytest.MonkeyPatch) -> Line:
    """Have storage answer over a line with this switch from now on."""

    def cut(switch: Switch) -> None:
        LINE[:] = [switch]
        monkeypatch.setitem(uri.SCHEMES, "file", f"{__name__}:faulty_storage")

    return cut


LINE: list[Switch] = []


def faulty_storage() -> FaultyStorage:
    return FaultyStorage(LINE[0])


def test_errors_are_numbered_over_the_whole_input(database: Database, frozen: JobId) -> None:
    publish(database, lease_of(database, frozen))
    assert_whole(database, frozen)


def assert_whole(database: Database, job_id: JobId) -> None:
    """Every row of the job is in its results or has its error record, once."""
    job = stage.seen(database, job_id)
    assert job.state is JobState.PARTIAL
    found = [
        (each["row"], each["file"][-7:], each["file_row"], each["line"], each["code"])
        for each in stage.errors(job)
    ]
    assert found == [
        (0, "0.jsonl", 0, 1, "WORKER_CRASHED"),
        (4, "0.jsonl", 4, 5, "PREDICT_ERROR"),
        (30, "0.jsonl", 30, 31, "JSON_INVALID"),
        (52, "1.jsonl", 12, 13, "PREDICT_ERROR"),
    ]
    ids = [row["id"] for row in stage.results(job)]
    kept = [n for n in range(1, 30) if n != 4] + [*range(9)] + [n for n in range(20) if n != 12]
    assert ids == kept
    assert "SIGSEGV" in stage.errors(job)[0]["message"]
    manifest = Manifest.from_bytes(stage.manifest_bytes(job))
    assert [(each.rows) for each in manifest.inputs] == [40, 20]
    assert job.manifest_sha256 == sha256(stage.manifest_bytes(job))


@pytest.mark.parametrize("done", [False, True], ids=["undone", "done but not told"])
@pytest.mark.parametrize("what", ["storage", "database"])
def test_a_failure_at_any_step_ends_in_the_same_bytes(
    database: Database, frozen: JobId, through: Line, what: str, done: bool
) -> None:
    """One call after the other fails, each in an attempt of its own, until there is none left."""
    output = output_of(database, frozen)
    expected, attempts = "", 0
    while stage.seen(database, frozen).state is JobState.FINALIZING:
        attempts += 1
        fault = frozenset({attempts})
        switch = Switch(after=fault) if done else Switch(before=fault)
        line = FaultyDatabase(database, switch) if what == "database" else database
        if what == "storage":
            through(switch)
        lease = lease_of(database, frozen)
        try:
            publish(line, lease)
        except Unavailable:
            assert switch.calls == attempts
        if (output / MANIFEST).exists():
            now = sha256((output / MANIFEST).read_bytes())
            assert expected in ("", now)
            expected = now

    assert attempts >= (2 if what == "database" else 8)
    job = stage.seen(database, frozen)
    assert (job.state, job.manifest_sha256) == (JobState.PARTIAL, expected)
    verbs = [verb for verb, *_ in history(database, frozen)]
    assert verbs.count("publish") == 1


def test_publishing_again_is_recognised(database: Database, frozen: JobId) -> None:
    """412 and the same bytes: an earlier attempt did it and could not say so."""
    line = FaultyDatabase(database, Switch(before=frozenset({2})))
    with pytest.raises(Unavailable):
        publish(line, lease_of(database, frozen))
    output = output_of(database, frozen)
    before = snapshot(output)
    assert MANIFEST in before

    publish(database, lease_of(database, frozen))

    assert stage.seen(database, frozen).state is JobState.PARTIAL
    after = snapshot(output)
    assert after == {path: before[path] for path in after}


def test_what_is_published_stands_though_a_part_was_lost_since(
    database: Database, frozen: JobId
) -> None:
    """I10: a job whose manifest is there never fails."""
    line = FaultyDatabase(database, Switch(before=frozenset({2})))
    with pytest.raises(Unavailable):
        publish(line, lease_of(database, frozen))
    output = output_of(database, frozen)
    published = (output / MANIFEST).read_bytes()
    next((output / "parts").iterdir()).unlink()

    publish(database, lease_of(database, frozen))

    assert (output / MANIFEST).read_bytes() == published
    assert stage.seen(database, frozen).manifest_sha256 == sha256(published)


@pytest.mark.parametrize("foreign", [b'{"job":"other"}', b"", b"not json"])
def test_a_foreign_manifest_is_left_alone(
    database: Database, frozen: JobId, compute: StartChild, tmp_path: Path, foreign: bytes
) -> None:
    """F50"""
    output = output_of(database, frozen)
    (output / MANIFEST).write_bytes(foreign)
    before = snapshot(output)

    runner = ChunkRunner(database, compute(), ME, Settings(state=tmp_path), SystemClock())
    assert runner.run_due(frozen)

    job = stage.seen(database, frozen)
    assert (job.state, job.reason_code) == (JobState.FAILED, "OUTPUT_CONFLICT")
    assert "--output" in (job.reason or "")
    after = snapshot(output)
    assert {path: after[path] for path in before} == before


def test_a_published_manifest_of_another_job_raises(database: Database, frozen: JobId) -> None:
    (output_of(database, frozen) / MANIFEST).write_bytes(b"{}")
    with pytest.raises(Conflict):
        publish(database, lease_of(database, frozen))


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


def test_the_sweep_takes_losers_only(database: Database, frozen: JobId) -> None:
    output = output_of(database, frozen)
    losers = [output / "parts" / "00-a9-zombie.jsonl", output / "errors" / "00-a9-zombie.jsonl"]
    spools = [output / "parts" / ".spool-0123456789abcdef"]
    strangers = [output / "notes.txt", output / "parts" / "_hidden"]
    for path in (*losers, *spools, *strangers):
        path.write_text("left over")

    publish(database, lease_of(database, frozen))

    manifest = json.loads((output / MANIFEST).read_bytes())
    listed = {entry["path"] for kind in ("parts", "errors") for entry in manifest[kind]}
    assert not any(path.exists() for path in (*losers, *spools))
    assert all(path.exists() for path in strangers)
    there = {path for path in snapshot(output) if path.startswith(("parts/", "errors/"))}
    assert there == listed | {"parts/_hidden"}


def test_only_the_holder_publishes(database: Database, frozen: JobId) -> None:
    """A zombie may put the manifest, whose bytes are the same, but neither ends the job nor
    sweeps."""
    stale = lease_of(database, frozen)
    lease_of(database, frozen)
    output = output_of(database, frozen)
    (output / "parts" / "kept").write_text("by whoever may still need it")
    with pytest.raises(LeaseLost):
        publish(database, stale)
    assert stage.seen(database, frozen).state is JobState.FINALIZING
    assert (output / "parts" / "kept").exists()


def test_storage_that_is_away_is_tried_again(
    database: Database, frozen: JobId, compute: StartChild, tmp_path: Path, through: Line
) -> None:
    """The lease is given back at once, with a backoff, and the job does not fail."""
    switch = Switch()
    switch.cut = True
    through(switch)
    runner = ChunkRunner(database, compute(), ME, Settings(state=tmp_path), SystemClock())
    runner.run_due(frozen)

    assert stage.seen(database, frozen).state is JobState.FINALIZING
    assert stage.progress(database, frozen).chunks[ChunkState.LEASED] == 0
    with database.read() as connection:
        assert queries.due(connection, limit=1, job_id=frozen, now=4e9)
