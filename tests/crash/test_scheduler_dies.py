"""kill -9 of the scheduler at every step of what it does (F70)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from millrace.failpoints import FAILPOINTS
from tests.crash.test_worker_dies import ended
from tests.crash.work import assert_clean, submitted
from tests.servers.cluster import Cluster
from tests.waiting import until

# nothing is slow enough here for a chunk to be offered
ELSEWHERE = ("r.offered", "r.delivered")
"""Passed only with slow chunks or with webhooks, and tested with those."""
PLACES = [name for name in FAILPOINTS if name[0] in "pr" and name not in ELSEWHERE]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_scheduler_may_die_anywhere(cluster: Cluster, tmp_path: Path) -> None:
    """One life and one job for each step; all of them end well."""
    (victim,) = cluster.schedulers
    jobs = []
    for place in PLACES:
        victim.end()
        jobs.append(submitted(cluster, tmp_path / place, 3))
        victim.start(f"{place}=kill")
        until(partial(ended, victim), f"the scheduler dies at {place}", 60)

    for job_id in jobs:
        assert_clean(cluster, job_id, 3)
