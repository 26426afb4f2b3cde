"""A worker that has lost its lease changes nothing, whoever holds the chunk by then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy import Connection

from millrace.db.session import Database
from millrace.errors import LeaseLost
from millrace.lifecycle import chunks, jobs
from millrace.types import Lease, WorkerId
from tests.lifecycle.stage import (
    LATER,
    MUCH_LATER,
    NOW,
    TTL,
    A,
    B,
    chunk_row,
    claimed,
    finalizing,
    job_row,
    result,
    running,
)

Write = Callable[[Connection, Lease], object]

STALE_WRITES: dict[str, Write] = {
    "commit": lambda conn, lease: chunks.commit(conn, lease, result(), now=MUCH_LATER),
    "renew": lambda conn, lease: chunks.renew(conn, lease, TTL, 1, (), now=MUCH_LATER),
    "release": lambda conn, lease: chunks.release(
        conn, lease, infra=True, delay=0, reason="", now=MUCH_LATER
    ),
    "crash": lambda conn, lease: chunks.crash(conn, lease, (), "", now=MUCH_LATER),
    "refuse_model": lambda conn, lease: chunks.refuse_model(
        conn, lease, "MODEL", "broken", now=MUCH_LATER
    ),
}


def refused(database: Database, write: Write, lease: Lease) -> None:
    with pytest.raises(LeaseLost), database.write() as conn:
        write(conn, lease)


@pytest.mark.parametrize("second", [B, A], ids=["other worker", "same worker"])
@pytest.mark.parametrize("write", STALE_WRITES)
def test_stale_worker_cannot_touch_the_chunk_while_another_attempt_runs(
    database: Database, write: str, second: WorkerId
) -> None:
    with database.write() as conn:
        job_id = running(conn)
        stale = claimed(conn, job_id, worker=A)
    with database.write() as conn:
        assert chunks.reap(conn, 10, now=LATER) == [(job_id, 0)]
    with database.write() as conn:
        fresh = claimed(conn, job_id, worker=second, now=MUCH_LATER)
    before, job_before = chunk_row(database, job_id), job_row(database, job_id)
    assert before.state == "leased"
    assert fresh.attempt == stale.attempt + 1

    refused(database, STALE_WRITES[write], stale)

    assert chunk_row(database, job_id) == before
    assert job_row(database, job_id) == job_before
    with database.write() as conn:
        chunks.renew(conn, fresh, TTL, 1, (), now=MUCH_LATER)
        chunks.commit(conn, fresh, result(), now=MUCH_LATER)


@pytest.mark.parametrize("write", STALE_WRITES)
def test_stale_worker_cannot_touch_a_committed_chunk(database: Database, write: str) -> None:
    with database.write() as conn:
        job_id = running(conn)
        lease = claimed(conn, job_id)
        chunks.commit(conn, lease, result(), now=NOW)
    before = chunk_row(database, job_id)

    refused(database, STALE_WRITES[write], lease)

    assert chunk_row(database, job_id) == before


@pytest.mark.parametrize("write", STALE_WRITES)
def test_attempt_alone_or_token_alone_is_no_authority(database: Database, write: str) -> None:
    with database.write() as conn:
        job_id = running(conn)
        lease = claimed(conn, job_id)
    before = chunk_row(database, job_id)

    refused(database, STALE_WRITES[write], replace(lease, token="f" * 32))
    refused(database, STALE_WRITES[write], replace(lease, attempt=lease.attempt + 1))

    assert chunk_row(database, job_id) == before


def test_a_lease_that_ran_out_still_commits_until_the_reaper_comes(database: Database) -> None:
    with database.write() as conn:
        job_id = running(conn)
        lease = claimed(conn, job_id)
        chunks.commit(conn, lease, result(), now=MUCH_LATER)

    assert chunk_row(database, job_id).state == "committed"


@pytest.mark.parametrize("end", ["publish", "abandon", "recompute"])
def test_stale_finisher_cannot_end_the_job(database: Database, end: str) -> None:
    with database.write() as conn:
        job_id = finalizing(conn)
        stale = claimed(conn, job_id, 1)
        assert chunks.reap(conn, 10, now=LATER) == [(job_id, 1)]
        fresh = claimed(conn, job_id, 1, now=MUCH_LATER)

    for lease in (stale, replace(fresh, token="f" * 32)):
        refused(database, _ending(end), lease)

    assert job_row(database, job_id).state == "finalizing"
    with database.write() as conn:
        jobs.publish(conn, fresh, "00" * 32, now=MUCH_LATER)
    assert job_row(database, job_id).state == "succeeded"


def test_the_lease_of_an_infer_chunk_publishes_nothing(database: Database) -> None:
    with database.write() as conn:
        job_id = running(conn)
        lease = claimed(conn, job_id)

    refused(database, _ending("publish"), lease)
    refused(database, _ending("abandon"), lease)
    refused(database, _ending("recompute"), lease)


def test_a_retry_fences_the_survivors_of_the_run_before(database: Database) -> None:
    with database.write() as conn:
        job_id = running(conn, 5, 10)
        survivor = claimed(conn, job_id, 0)
        jobs.fail(conn, job_id, "BROKEN", "broken", now=NOW)
        jobs.retry(conn, job_id, now=NOW)
    assert chunk_row(database, job_id, 0).attempt == survivor.attempt + 1
    assert chunk_row(database, job_id, 1).attempt == 0

    for write in STALE_WRITES.values():
        refused(database, write, survivor)


def _ending(end: str) -> Write:
    if end == "publish":
        return lambda conn, lease: jobs.publish(conn, lease, "00" * 32, now=MUCH_LATER)
    if end == "recompute":
        return lambda conn, lease: jobs.recompute(conn, lease, [0], "LOST", "gone", now=MUCH_LATER)
    return lambda conn, lease: jobs.abandon(conn, lease, "LOST", "gone", now=MUCH_LATER)
