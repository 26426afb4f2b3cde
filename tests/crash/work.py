"""Jobs of the crash tests, and the question that is asked after each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from millrace.lifecycle.queries import JobView
from millrace.types import JobId, JobState
from tests.jobs import spec_of, texts, written
from tests.servers.cluster import Cluster
from tests.servers.oracle import CLEAN, findings


def submitted(cluster: Cluster, folder: Path, rows: int = 12, **changes: Any) -> JobId:
    """An echo of so many rows, three to a chunk, each chunk 0.2 seconds."""
    written(folder, texts(rows))
    asked = {"chunk_rows": 3, "options": {"scripted": True, "delay": 0.2}, **changes}
    return cluster.submit(spec_of(folder, **asked))


def assert_clean(cluster: Cluster, job_id: JobId, rows: int = 12, seconds: float = 60.0) -> JobView:
    """The job succeeds with every row once, and nothing that was committed was done again."""
    job = cluster.wait(job_id, seconds)
    assert job.state is JobState.SUCCEEDED, job.reason
    assert findings(job, cluster.history(job_id), range(rows)) == CLEAN
    return job
