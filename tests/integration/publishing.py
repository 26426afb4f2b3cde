"""A job that is computed and not yet published, and the question whether all of it came out."""

from __future__ import annotations

from pathlib import Path

from millrace.clock import SystemClock
from millrace.db.session import Database
from millrace.lifecycle import chunks, jobs, queries
from millrace.manifest import Manifest, sha256
from millrace.settings import Settings
from millrace.storage import uri
from millrace.types import JobId, JobState, Lease, WorkerId
from tests import jobs as stage
from workers.child import ComputeChild
from workers.chunk_runner import ChunkRunner

ME = WorkerId("publisher")
TTL = 60.0


def computed(database: Database, child: ComputeChild, folder: Path) -> JobId:
    """A job of two files, six chunks, three bad rows and one that no process has survived."""
    first = [*stage.texts(30, _4="::raise"), "{bad", *stage.texts(9)]
    stage.written(folder, first, stage.texts(20, _12="::raise"))
    job_id = stage.started(database, folder, chunk_rows=12)
    runner = ChunkRunner(database, child, ME, Settings(state=folder), SystemClock())
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
