"""Whole jobs between S3 and S3 while the server, or somebody else, misbehaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace import storage
from millrace.db.session import Database
from millrace.front.retrying import retry_rows
from millrace.lifecycle import chunks, events, jobs, queries
from millrace.manifest import MANIFEST, SUCCESS, addressed, sha256
from millrace.storage.s3_endpoint import endpoint
from millrace.types import JobId, JobState
from millrace.verification import verify
from scheduler.planner import Planner
from tests import jobs as stage
from tests.running import OTHER, carry_out, forget_backoff, runner_of
from tests.servers.s3 import STUBBORN, Moto, client, connected, new_bucket
from tests.servers.s3_faults import Kind, S3Faults
from workers.child import ComputeChild
from workers.chunk_runner import ChunkRunner
from workers.finalise import publish
from workers.spawn import ComputeSettings

ROWS = 60


@pytest.fixture(scope="module")
def proxy(moto: Moto) -> Iterator[S3Faults]:
    with S3Faults(moto.url) as proxy, connected(proxy.url, STUBBORN):
        yield proxy


@pytest.fixture(scope="module")
def child(proxy: S3Faults) -> Iterator[ComputeChild]:
    """One for all tests: it takes seconds to start."""
    child = ComputeChild(ComputeSettings(device="cpu", s3=endpoint()))
    yield child
    child.kill()


@pytest.fixture
def faults(proxy: S3Faults) -> Iterator[S3Faults]:
    proxy.operations.clear()
    yield proxy
    proxy.heal()


@pytest.fixture
def bucket(moto: Moto) -> str:
    """With three files of rows below ``in``."""
    uri = new_bucket(moto.url)
    for number in range(3):
        rows = stage.texts(ROWS)[number::3]
        put(moto, f"{uri}/in/{number}.jsonl", "".join(f"{row}\n" for row in rows).encode())
    return uri


@pytest.fixture
def job_id(database: Database, faults: S3Faults, bucket: str, tmp_path: Path) -> JobId:
    told = {"input": f"{bucket}/in/*.jsonl", "output": f"{bucket}/out", "chunk_rows": 10}
    return stage.started(database, tmp_path, **told)


@pytest.fixture
def runner(database: Database, child: ComputeChild, tmp_path: Path) -> ChunkRunner:
    return runner_of(database, child, tmp_path, max_batch=1)


def put(moto: Moto, uri: str, content: bytes) -> None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    client(moto.url).put_object(Bucket=bucket, Key=key, Body=content)


def there(uri: str) -> set[str]:
    """The names below a folder, hidden ones too."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    found = client(endpoint().url).list_objects_v2(Bucket=bucket, Prefix=f"{key}/")
    return {each["Key"].removeprefix(f"{key}/") for each in found.get("Contents", ())}


def verbs_of_chunks(database: Database, job_id: JobId) -> list[str]:
    with database.read() as connection:
        found = events.page(connection, job_id, limit=10_000)
    return [each.verb for each in found if each.idx is not None]


def published_once(database: Database, job_id: JobId) -> None:
    """Each row stands once in the results, as an outsider sees them too."""
    job = stage.seen(database, job_id)
    assert job.state is JobState.SUCCEEDED, job.reason
    assert sorted(row["id"] for row in stage.results(job)) == list(range(ROWS))
    assert verify(job.spec.output).faults == ()
    assert not {"crash", "reap"} & set(verbs_of_chunks(database, job_id))


def test_a_job_gets_through_faults_of_every_kind(
    database: Database, faults: S3Faults, runner: ChunkRunner, job_id: JobId
) -> None:
    """F43, F45, F48"""
    for kind in (Kind.SLOW_DOWN, Kind.FAIL_AFTER, Kind.SWALLOW, Kind.REFUSE):
        faults.add(kind, share=0.08)
    faults.add(Kind.TRUNCATE, "GetObject", at=100, share=0.1)
    carry_out(database, runner, job_id)
    faults.heal()
    published_once(database, job_id)
    assert len({each.fault for each in faults.operations}) > 4


def test_outages_never_fail_a_job(
    database: Database, faults: S3Faults, runner: ChunkRunner, job_id: JobId
) -> None:
    """F44: what could not be done is given back, as often as it takes."""
    for kind in (Kind.REFUSE, Kind.SLOW_DOWN) * 2:
        faults.add(kind)
        assert runner.run_due(job_id)
        assert stage.seen(database, job_id).state is JobState.RUNNING
        faults.heal()
        forget_backoff(database, job_id)
    assert verbs_of_chunks(database, job_id).count("release") == 4
    carry_out(database, runner, job_id)
    published_once(database, job_id)


def test_an_outage_while_publishing_is_waited_for(
    database: Database, faults: S3Faults, runner: ChunkRunner, job_id: JobId
) -> None:
    """F44"""
    freeze(database, runner, job_id)
    faults.add(Kind.FAIL_AFTER, "PutObject", key=MANIFEST)
    faults.add(Kind.SLOW_DOWN, "GetObject", key=MANIFEST)
    assert runner.run_due(job_id)
    assert stage.seen(database, job_id).state is JobState.FINALIZING
    faults.heal()
    publish_again(database, job_id)
    published_once(database, job_id)


@pytest.mark.parametrize("change", ["overwritten", "deleted"])
def test_an_input_that_changes_under_a_job_fails_it(
    database: Database, moto: Moto, bucket: str, runner: ChunkRunner, job_id: JobId, change: str
) -> None:
    """F51, F52"""
    assert runner.run_due(job_id)
    with database.read() as connection:
        pinned = queries.inputs(connection, job_id)
    for each in pinned:
        if change == "overwritten":
            put(moto, each.uri, b'{"id": 0, "text": "another"}\n')
        else:
            storage.for_uri(each.uri).delete(each.uri)
    carry_out(database, runner, job_id)

    job = stage.seen(database, job_id)
    expected = {"overwritten": "INPUT_CHANGED", "deleted": "INPUT_GONE"}[change]
    assert (job.state, job.reason_code) == (JobState.FAILED, expected)
    assert any(each.version in (job.reason or "") for each in pinned)
    assert MANIFEST not in there(job.spec.output)


@pytest.mark.parametrize("kind", [Kind.FORBID, Kind.EXPIRE])
def test_a_right_that_is_withdrawn_fails_the_job_with_its_name(
    database: Database, faults: S3Faults, runner: ChunkRunner, job_id: JobId, kind: Kind
) -> None:
    """F53"""
    assert runner.run_due(job_id)
    faults.add(kind, "GetObject", key="in/")
    carry_out(database, runner, job_id)
    job = stage.seen(database, job_id)
    assert (job.state, job.reason_code) == (JobState.FAILED, "STORAGE_FORBIDDEN")
    assert "s3:GetObject" in (job.reason or "")
    assert "in/" in (job.reason or "")

    faults.heal()
    forget_backoff_of_failed(database, job_id)
    carry_out(database, runner, job_id)
    published_once(database, job_id)


def test_nobody_fails_a_job_that_may_be_published(
    database: Database, faults: S3Faults, runner: ChunkRunner, job_id: JobId
) -> None:
    """F53, I10: without the right to look, nobody knows what an earlier try has done."""
    freeze(database, runner, job_id)
    faults.add(Kind.FORBID, key="_")
    assert runner.run_due(job_id)
    assert stage.seen(database, job_id).state is JobState.FINALIZING
    faults.heal()
    publish_again(database, job_id)
    published_once(database, job_id)


def test_a_sweep_that_is_not_allowed_is_left_to_others(
    database: Database, faults: S3Faults, runner: ChunkRunner, job_id: JobId
) -> None:
    freeze(database, runner, job_id)
    job = stage.seen(database, job_id)
    storage.for_uri(job.spec.output).put_once(f"{job.spec.output}/parts/00-a9-zombie.jsonl", b"x")
    faults.add(Kind.FORBID, "DeleteObject")
    assert runner.run_due(job_id)
    published_once(database, job_id)
    assert "parts/00-a9-zombie.jsonl" in there(job.spec.output)


def test_a_foreign_manifest_is_left_alone(
    database: Database, moto: Moto, bucket: str, runner: ChunkRunner, job_id: JobId
) -> None:
    """F50"""
    put(moto, f"{bucket}/out/{MANIFEST}", b"somebody else's")
    carry_out(database, runner, job_id)
    job = stage.seen(database, job_id)
    assert (job.state, job.reason_code) == (JobState.FAILED, "OUTPUT_CONFLICT")
    assert stage.manifest_bytes(job) == b"somebody else's"


@pytest.mark.parametrize("how", ["deleted", "shortened"])
def test_a_part_that_was_damaged_is_computed_again(
    database: Database, moto: Moto, runner: ChunkRunner, job_id: JobId, how: str
) -> None:
    """F54, before"""
    freeze(database, runner, job_id)
    job = stage.seen(database, job_id)
    store = storage.for_uri(job.spec.output)
    part = next(store.list(f"{job.spec.output}/parts"))
    content = store.read(part.uri)
    store.delete(part.uri)
    if how == "shortened":
        put(moto, part.uri, content[:-1])
    assert runner.run_due(job_id)
    assert MANIFEST not in there(job.spec.output)
    carry_out(database, runner, job_id)
    published_once(database, job_id)
    assert part.uri.removeprefix(f"{job.spec.output}/") not in there(job.spec.output)


def test_a_part_that_was_flipped_afterwards_is_told_by_verify(
    database: Database, moto: Moto, runner: ChunkRunner, job_id: JobId
) -> None:
    """F54, after"""
    carry_out(database, runner, job_id)
    job = stage.seen(database, job_id)
    part = json.loads(stage.manifest_bytes(job))["parts"][0]["path"]
    content = storage.for_uri(job.spec.output).read(f"{job.spec.output}/{part}")
    put(moto, f"{job.spec.output}/{part}", bytes([content[0] ^ 1]) + content[1:])
    assert any("SHA-256" in fault for fault in verify(job.spec.output).faults)


def test_a_store_that_ignores_conditions_gets_a_manifest_that_nobody_overwrites(
    database: Database, moto: Moto, faults: S3Faults, runner: ChunkRunner, job_id: JobId
) -> None:
    """F55: the database names it by its digest."""
    faults.add(Kind.FORGET_CONDITIONS)
    carry_out(database, runner, job_id)
    published_once(database, job_id)
    job = stage.seen(database, job_id)
    content = stage.manifest_bytes(job)
    assert job.manifest_sha256 == sha256(content)
    assert {MANIFEST, SUCCESS, addressed(content)} <= there(job.spec.output)
    store = storage.for_uri(job.spec.output)
    put(moto, f"{job.spec.output}/{MANIFEST}", b"another writer's, at the very same moment")
    assert store.read(f"{job.spec.output}/{addressed(content)}") == content


def test_a_store_that_keeps_conditions_gets_one_manifest_only(
    database: Database, runner: ChunkRunner, job_id: JobId
) -> None:
    carry_out(database, runner, job_id)
    hidden = {name for name in there(stage.seen(database, job_id).spec.output) if name[0] == "_"}
    assert hidden == {MANIFEST, SUCCESS}


def freeze(database: Database, runner: ChunkRunner, job_id: JobId) -> None:
    """Everything but the publication."""
    while runner.run_due(job_id):
        pass
    with database.write() as connection:
        assert jobs.freeze(connection, job_id)


def publish_again(database: Database, job_id: JobId) -> None:
    """One more attempt at it, without the wait after the one before."""
    with database.write() as connection:
        found = queries.due(connection, limit=1, job_id=job_id, now=4e9)
        lease = chunks.claim(connection, *found[0], OTHER, 60.0, now=4e9)
    assert lease is not None
    publish(database, lease)


def forget_backoff_of_failed(database: Database, job_id: JobId) -> None:
    with database.write() as connection:
        jobs.retry(connection, job_id)
        jobs.start(connection, job_id)


def test_error_rows_are_retried_from_s3_to_s3_while_answers_fail(
    database: Database,
    runner: ChunkRunner,
    moto: Moto,
    faults: S3Faults,
    bucket: str,
    tmp_path: Path,
) -> None:
    rows = stage.texts(20, _3="::raise", _4="::raise")
    put(moto, f"{bucket}/in/3.jsonl", "".join(f"{row}\n" for row in rows).encode())
    told = {"input": f"{bucket}/in/*.jsonl", "output": f"{bucket}/out", "chunk_rows": 10}
    parent = stage.started(database, tmp_path, **told)
    carry_out(database, runner, parent)
    child = retry_rows(database, parent, None).job
    for kind in (Kind.SLOW_DOWN, Kind.FAIL_AFTER, Kind.SWALLOW, Kind.REFUSE):
        faults.add(kind, share=0.08)
    faults.add(Kind.TRUNCATE, "GetObject", at=100, share=0.1)

    Planner(database, slots=1, interval=1.0).plan(child)
    with database.write() as connection:
        assert jobs.start(connection, child.id)
    carry_out(database, runner, child.id)

    faults.heal()
    first, second = stage.seen(database, parent), stage.seen(database, child.id)
    assert second.spec.output == f"{bucket}/out-retry-1"
    assert stage.results(second) == stage.results(first)
    assert stage.errors(second) == stage.errors(first)
    assert verify(second.spec.output).faults == ()
