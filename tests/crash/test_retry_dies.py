"""kill -9 of who computes a retry of error rows: no kept row is lost, and none is blamed."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from millrace.front.retrying import retry_rows
from millrace.lifecycle.transitions import ChunkVerb
from millrace.types import JobId, JobState
from tests.jobs import errors, spec_of, texts, written
from tests.servers.cluster import Cluster
from tests.servers.oracle import CLEAN, findings
from tests.waiting import until

ROWS, BAD = 30, (0, 7, 8, 20)
PLACES = ("w.before_read", "w.mid_compute", "w.mid_put", "s.before_put", "s.after_put")


def more_crashes(cluster: Cluster, job_id: JobId, before: int) -> bool:
    return cluster.count(job_id, ChunkVerb.CRASH) > before


@pytest.mark.timeout(240)
def test_a_retry_of_rows_may_be_killed_anywhere(cluster: Cluster, tmp_path: Path) -> None:
    written(tmp_path, texts(ROWS, **{f"_{row}": "::raise" for row in BAD}))
    parent = cluster.submit(spec_of(tmp_path, chunk_rows=3))
    assert cluster.wait(parent).state is JobState.PARTIAL
    victim, other = cluster.workers
    victim.end()
    other.end()

    child = retry_rows(cluster.database, parent, None).job
    for place in PLACES:
        victim.start(f"{place}=kill")
        crashed = partial(more_crashes, cluster, child.id, cluster.count(child.id, ChunkVerb.CRASH))
        until(crashed, f"it dies at {place}", 60)
        victim.end()
    cluster.tend()

    job = cluster.wait(child.id, 120)
    assert job.state is JobState.PARTIAL, job.reason
    assert tuple(each["row"] for each in errors(job)) == BAD
    good = [row for row in range(ROWS) if row not in BAD]
    assert findings(job, cluster.history(child.id), good) == CLEAN
