"""Processes that are stopped, lose their authority, and wake up without knowing it (F9, F65)."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil
import pytest

from millrace.lifecycle.transitions import ChunkVerb
from tests.crash.work import assert_clean, submitted
from tests.servers.cluster import Cluster, Member
from tests.waiting import until


def stopped(member: Member) -> bool:
    assert member.process is not None
    return bool(member.process.status() == psutil.STATUS_STOPPED)


@pytest.mark.parametrize("place", ["w.before_commit", "f.built"])
def test_a_worker_that_slept_too_long_changes_nothing(
    cluster: Cluster, tmp_path: Path, place: str
) -> None:
    victim, other = cluster.workers
    victim.end()
    other.end()
    victim.start(f"{place}=stop@1")
    job_id = submitted(cluster, tmp_path)
    until(lambda: stopped(victim), f"it stops at {place}", 30)
    job = assert_clean(cluster, job_id)
    history, reaped = cluster.history(job_id), cluster.count(job_id, ChunkVerb.REAP)
    assert reaped

    other.end()
    victim.send(signal.SIGCONT)

    # that it does the next job alone shows that it lives and has got over its loss
    assert_clean(cluster, submitted(cluster, tmp_path / "next"))
    assert cluster.history(job_id) == history
    assert cluster.job(job_id) == job


@pytest.mark.parametrize("place", ["p.surveyed", "r.before_freeze"])
def test_a_scheduler_that_slept_too_long_does_no_harm(
    cluster: Cluster, tmp_path: Path, place: str
) -> None:
    victim, second = cluster.schedulers[0], cluster.spare_scheduler()
    victim.end()
    victim.start(f"{place}=stop@1")
    cluster.workers[0].end()
    job_id = submitted(cluster, tmp_path)
    until(lambda: stopped(victim), f"it stops at {place}", 30)
    second.start()
    try:
        assert_clean(cluster, job_id)
        victim.send(signal.SIGCONT)
        history = cluster.history(job_id)
        assert_clean(cluster, submitted(cluster, tmp_path / "next"))
        assert cluster.history(job_id) == history
    finally:
        second.end()
