"""Leases that have run out, and jobs that were cancelled."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, update

from millrace.db import tables
from millrace.db.session import Database
from millrace.lifecycle import chunks, jobs
from millrace.lifecycle.retry import CRASHES_BEFORE_VERDICT
from millrace.types import ChunkState, JobState
from scheduler.rescuer import Rescuer
from tests import jobs as stage
from tests.lifecycle.stage import chunk_row
from tests.scheduling import claim, running


def test_the_rescuer_takes_back_what_has_run_out(database: Database) -> None:
    job_id = running(database, 10, 20)
    claim(database, job_id, 0, ttl=-1.0)
    claim(database, job_id, 1, ttl=60.0)
    rescuer = Rescuer(database, interval=5.0)

    assert rescuer.tick() == 5.0

    lost = chunk_row(database, job_id, 0)
    assert (lost.state, lost.lost_count, lost.crash_count) == ("pending", 1, 0)
    assert chunk_row(database, job_id, 1).state == "leased"


def test_a_job_that_cannot_be_judged_keeps_no_other_waiting(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    broken = running(database, 1)
    other = running(database, 10, output="file:///elsewhere")
    rescuer = Rescuer(database)
    for _ in range(CRASHES_BEFORE_VERDICT):
        lease = claim(database, broken, 0, ttl=-1.0)
        with database.write() as connection:
            chunks.renew(connection, lease, ttl=-1.0, suspects=[0])
        if chunk_row(database, broken).crash_count == 0:
            rescuer.tick()
            with database.write() as connection:
                connection.execute(update(tables.chunk).values(not_before=0.0))
    with database.write() as connection:
        # the row is to be buried, and nobody can tell in which input
        connection.execute(delete(tables.job_input).where(tables.job_input.c.job_id == broken))
    claim(database, other, 0, ttl=-1.0)

    rescuer.tick()

    assert chunk_row(database, other).state == "pending"
    assert chunk_row(database, broken).state == "leased"
    assert broken in caplog.text


def test_the_rescuer_comes_back_at_once_for_more(database: Database) -> None:
    job_id = running(database, 10, 20, 30)
    for idx in range(3):
        claim(database, job_id, idx, ttl=-1.0)
    rescuer = Rescuer(database, interval=5.0, batch=2)
    assert rescuer.tick() == 0.0
    assert rescuer.tick() == 5.0
    assert stage.progress(database, job_id).chunks[ChunkState.PENDING] == 3


def test_the_rescuer_closes_what_was_cancelled(database: Database) -> None:
    job_id = running(database, 10, 20)
    lease = claim(database, job_id, 0)
    with database.write() as connection:
        jobs.cancel(connection, job_id)
    Rescuer(database).tick()
    assert stage.seen(database, job_id).state is JobState.CANCELLING
    with database.write() as connection:
        chunks.release(connection, lease, infra=False, delay=0.0, reason="cancelled")
    Rescuer(database).tick()
    assert stage.seen(database, job_id).state is JobState.CANCELLED
