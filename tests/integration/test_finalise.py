"""Publication: the same bytes however often it fails on the way, and nobody else's overwritten."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from millrace.clock import SystemClock
from millrace.db.session import Database
from millrace.errors import Conflict, LeaseLost, Unavailable
from millrace.lifecycle import queries
from millrace.manifest import MANIFEST, sha256
from millrace.settings import Settings
from millrace.storage import uri
from millrace.types import ChunkState, JobId, JobState
from tests import jobs as stage
from tests.faults import FaultyDatabase, FaultyStorage, Switch
from tests.integration.conftest import StartChild
from tests.integration.publishing import ME, assert_whole, lease_of, output_of, snapshot
from tests.lifecycle.stage import history
from workers.chunk_runner import ChunkRunner
from workers.finalise import publish

Line = Callable[[Switch], None]


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
