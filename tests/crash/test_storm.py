"""Ten deaths over one job, at random (F17); ``scripts/chaos`` has the storms that take minutes."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.types import JobState
from tests.crash.storm import Storm, Weather
from tests.jobs import spec_of, texts, written
from tests.postgres import PostgresServer
from tests.servers.broker import Valkey
from tests.servers.cluster import Cluster
from tests.servers.oracle import CLEAN

ROWS = 1_000


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_ten_deaths_lose_and_repeat_nothing(
    databases: PostgresServer, broker: Valkey, tmp_path: Path
) -> None:
    written(tmp_path, texts(ROWS))
    with (
        databases.database() as url,
        Cluster(tmp_path, url, broker.url, schedulers=2, workers=3, supervised=True) as cluster,
    ):
        job_id = cluster.submit(spec_of(tmp_path, chunk_rows=20, options={"delay": 0.2}))
        storm = Storm(cluster, job_id, ROWS, broker=broker, seed=17)
        outcome = storm.rage(Weather(kills=10, forgets=1), 200)

    assert (outcome.state, outcome.findings) == (JobState.SUCCEEDED, CLEAN)
