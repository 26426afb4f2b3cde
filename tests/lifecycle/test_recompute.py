"""Results that cannot be published go back to work, as long as nobody can have published them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection

from millrace.db.session import Database
from millrace.lifecycle import chunks, jobs, queries
from millrace.lifecycle.publication import RECOMPUTATIONS
from millrace.types import ChunkState, JobId, JobState, Lease
from tests.lifecycle.stage import (
    LATER,
    MUCH_LATER,
    NOW,
    A,
    chunk_row,
    claimed,
    history,
    job_row,
    result,
    running,
)


def frozen(conn: Connection) -> JobId:
    """A job of two chunks that are computed; the third one publishes."""
    job_id = running(conn, 10, 20)
    for idx in (0, 1):
        chunks.commit(conn, claimed(conn, job_id, idx), result(9, 1), now=NOW)
    assert jobs.freeze(conn, job_id, now=NOW)
    return job_id


def sent_back(conn: Connection, lease: Lease) -> bool:
    return jobs.recompute(conn, lease, [1], "PART_DAMAGED", "it is gone", now=NOW)


def test_the_chunk_at_fault_runs_again_and_no_other(database: Database) -> None:
    with database.write() as conn:
        job_id = frozen(conn)
        assert sent_back(conn, claimed(conn, job_id, 2))

    kept, again, publishing = (chunk_row(database, job_id, idx) for idx in range(3))
    assert job_row(database, job_id).state == "running"
    assert (kept.state, kept.attempt) == ("committed", 1)
    assert (again.state, again.attempt, again.part_path) == ("pending", 2, None)
    assert (again.rows_ok, again.rows_err, again.error_path) == (None, None, None)
    assert publishing.state == "pending"
    assert history(database, job_id)[-1] == ("recompute", "finalizing", "running")
    with database.read() as conn:
        progress = queries.progress(conn, job_id)
        assert queries.due(conn, limit=9, job_id=job_id, now=NOW) == [(job_id, 1)]
    assert (progress.rows_ok, progress.rows_err, progress.weight_done) == (9, 1, 10)
    assert progress.chunks[ChunkState.PENDING] == 1


def test_it_is_published_afterwards(database: Database) -> None:
    with database.write() as conn:
        job_id = frozen(conn)
        sent_back(conn, claimed(conn, job_id, 2))
        assert not jobs.freeze(conn, job_id, now=NOW)
        chunks.commit(conn, claimed(conn, job_id, 1), result(), now=NOW)
        assert jobs.freeze(conn, job_id, now=NOW)
        ended = jobs.publish(conn, claimed(conn, job_id, 2), "00" * 32, now=NOW)
    assert ended is JobState.PARTIAL


def _falls_silent(conn: Connection, job_id: JobId) -> None:
    claimed(conn, job_id, 2)
    assert chunks.reap(conn, 10, now=LATER)


def _is_taken_for_dead(conn: Connection, job_id: JobId) -> None:
    claimed(conn, job_id, 2)
    assert chunks.release_owned(conn, A, now=NOW)


def _has_no_answer(conn: Connection, job_id: JobId) -> None:
    lease = claimed(conn, job_id, 2)
    chunks.release(conn, lease, infra=True, delay=0.0, reason="no answer", now=NOW)


@pytest.mark.parametrize("how", [_falls_silent, _is_taken_for_dead, _has_no_answer])
def test_not_where_another_manifest_may_still_come(
    database: Database, how: Callable[[Connection, JobId], None]
) -> None:
    with database.write() as conn:
        job_id = frozen(conn)
        how(conn, job_id)
        assert not sent_back(conn, claimed(conn, job_id, 2, now=MUCH_LATER))
    assert job_row(database, job_id).state == "finalizing"
    assert chunk_row(database, job_id, 1).state == "committed"
    assert chunk_row(database, job_id, 2).state == "leased"


def test_not_for_ever(database: Database) -> None:
    with database.write() as conn:
        job_id = frozen(conn)
        for _ in range(RECOMPUTATIONS):
            assert sent_back(conn, claimed(conn, job_id, 2))
            chunks.commit(conn, claimed(conn, job_id, 1), result(), now=NOW)
            assert jobs.freeze(conn, job_id, now=NOW)
        assert not sent_back(conn, claimed(conn, job_id, 2))


def test_many_chunks_at_once(database: Database) -> None:
    with database.write() as conn:
        job_id = running(conn, *range(1, 2_502))
        leases = chunks.claim_many(conn, job_id, range(2_501), A, 60.0, now=NOW)
        chunks.commit_many(conn, [(lease, result(1)) for lease in leases], now=NOW)
        assert jobs.freeze(conn, job_id, now=NOW)
        lease = claimed(conn, job_id, 2_501)
        assert jobs.recompute(conn, lease, range(1, 2_501), "GONE", "all but one", now=NOW)
        progress = queries.progress(conn, job_id)
    assert (progress.rows_ok, progress.chunks[ChunkState.PENDING]) == (1, 2_500)
