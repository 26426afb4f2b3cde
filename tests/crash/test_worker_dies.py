"""kill -9 of a worker, or of its compute process, at every step of a chunk (F1 to F8, F15, F16)."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import psutil
import pytest

from millrace.lifecycle.transitions import ChunkVerb
from millrace.manifest import Manifest
from millrace.storage.uri import local_path
from millrace.types import JobId
from tests.crash.work import assert_clean, submitted
from tests.jobs import manifest_bytes
from tests.servers.cluster import Cluster, Member
from tests.waiting import gone, until

WORKER = (
    *("w.received", "w.before_claim", "w.after_claim", "w.hb"),
    *("s.before_settle", "w.before_commit", "w.in_commit", "w.after_commit", "w.done"),
    # the others of publication are for the simulation: each death doubles the wait for the next try
    *("f.built", "s.after_put_once", "f.swept"),
)
COMPUTE = (
    *("w.before_read", "w.mid_compute", "w.before_put", "w.mid_put", "w.after_put"),
    *("s.before_put", "s.after_put"),
)


def ended(member: Member) -> bool:
    return not member.running()


def more_crashes(cluster: Cluster, job_id: JobId, before: int) -> bool:
    return cluster.count(job_id, ChunkVerb.CRASH) > before


@pytest.mark.timeout(240)
def test_a_worker_may_die_anywhere(cluster: Cluster, tmp_path: Path) -> None:
    """One life for each step, all in one job."""
    victim, other = cluster.workers
    victim.end()
    other.end()
    job_id = submitted(cluster, tmp_path, 60)
    for place in WORKER:
        victim.start(f"{place}=kill")
        until(partial(ended, victim), f"the worker dies at {place}", 60)

    assert_clean(cluster, job_id, 60)


@pytest.mark.timeout(240)
def test_a_compute_process_may_die_anywhere(cluster: Cluster, tmp_path: Path) -> None:
    """Its worker tells at once, without waiting for the lease; nothing of it stays in the way."""
    victim, other = cluster.workers
    victim.end()
    other.end()
    job_id = submitted(cluster, tmp_path, 60)
    for place in COMPUTE:
        victim.start(f"{place}=kill")
        crashed = partial(more_crashes, cluster, job_id, cluster.count(job_id, ChunkVerb.CRASH))
        until(crashed, f"it dies at {place}", 60)
        assert victim.running()
        victim.end()

    job = assert_clean(cluster, job_id, 60)

    published = set(Manifest.from_bytes(manifest_bytes(job)).paths())
    folder = local_path(job.spec.output)
    left = {str(path.relative_to(folder)) for path in (folder / "parts").iterdir()}
    assert left == published, "a part of somebody who died is left"


def test_the_death_of_a_worker_ends_what_it_started(cluster: Cluster, tmp_path: Path) -> None:
    cluster.tend()
    job_id = submitted(cluster, tmp_path, 30)
    victim = cluster.workers[0]
    until(lambda: cluster.count(job_id, ChunkVerb.COMMIT), "work is under way", 30)
    children = [child.pid for child in victim.children()]
    assert children
    victim.send(signal.SIGKILL)
    for pid in children:
        until(partial(gone, pid), "the compute process is gone")

    assert_clean(cluster, job_id, 30)


def test_a_storm_of_deploys_costs_no_attempt(cluster: Cluster, tmp_path: Path) -> None:
    """The first SIGTERM drains, a second one leaves at once, more change nothing: no crash."""
    cluster.tend()
    job_id = submitted(cluster, tmp_path, 30, options={"delay": 1.0})
    until(lambda: cluster.count(job_id, ChunkVerb.CLAIM) >= 2, "both workers are at work", 30)
    victim = cluster.workers[0]
    process = victim.process
    assert isinstance(process, psutil.Popen)
    for _ in range(20):
        victim.send(signal.SIGTERM)
    assert process.wait(15) == 0

    assert_clean(cluster, job_id, 30)
    assert not cluster.count(job_id, ChunkVerb.CRASH)
    assert not cluster.count(job_id, ChunkVerb.REAP)
