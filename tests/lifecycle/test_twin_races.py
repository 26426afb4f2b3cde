"""Batches and twins at once: no chunk has two first holders, and no result counts twice."""

from __future__ import annotations

import random
from contextlib import suppress
from functools import partial

import pytest

from millrace.db.session import Database
from millrace.errors import LeaseLost
from millrace.lifecycle import chunks, jobs, queries
from millrace.types import ChunkState, JobId, Lease, WorkerId
from tests.lifecycle.at_once import THREADS, at_once
from tests.lifecycle.stage import (
    LATER,
    NOW,
    TTL,
    A,
    B,
    chunk_row,
    claimed,
    job_row,
    result,
    running,
)

CHUNKS = 200
BATCH = 32
ROUNDS = 25
ON_POSTGRES = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


def test_overlapping_batches_share_nothing(database: Database) -> None:
    with database.write() as conn:
        job_id = running(conn, *range(1, CHUNKS + 1))

    def claim_all(worker: int) -> list[Lease]:
        draw, won = random.Random(worker), []
        for _ in range(4 * CHUNKS // BATCH):
            wish = draw.sample(range(CHUNKS), BATCH)
            with database.write(durable=False) as conn:
                won += chunks.claim_many(conn, job_id, wish, WorkerId(f"w{worker}"), TTL, now=NOW)
        return won

    with at_once() as run:
        won = [
            each for part in run([partial(claim_all, n) for n in range(THREADS)]) for each in part
        ]
    assert len({lease.idx for lease in won}) == len(won)
    assert len(won) > CHUNKS // 2
    with database.read() as conn:
        assert queries.progress(conn, job_id).chunks[ChunkState.LEASED] == len(won)


@ON_POSTGRES
def test_holder_and_twin_never_both_commit(database: Database) -> None:
    with database.write() as conn:
        job_id = running(conn, *range(1, CHUNKS + 1))
        first = chunks.claim_many(conn, job_id, range(CHUNKS), A, TTL, now=NOW)
        for idx in range(CHUNKS):
            chunks.offer(conn, job_id, idx, now=NOW)
        twins = chunks.claim_many(conn, job_id, range(CHUNKS), B, TTL, now=NOW)

    with at_once() as run:
        for pair in zip(first, twins, strict=True):
            lost = run([partial(commits, database, lease) for lease in pair])
            assert sorted(lost) == [0, 1]
    with database.read() as conn:
        progress = queries.progress(conn, job_id)
    assert (progress.rows_ok, progress.weight_done) == (CHUNKS, CHUNKS)


def commits(database: Database, *leases: Lease) -> int:
    """How many of these leases were lost when they were committed together."""
    with database.write(durable=False) as conn:
        return len(chunks.commit_many(conn, [(each, result(1)) for each in leases], now=NOW))


@ON_POSTGRES
def test_batches_of_twins_do_not_block_each_other(database: Database) -> None:
    """Both commit the same chunks, in opposite order, and end without a deadlock."""
    with at_once() as run:
        for number in range(ROUNDS):
            with database.write() as conn:
                job_id = running(conn, *range(1, BATCH + 1), output=f"file:///{number}")
                first = chunks.claim_many(conn, job_id, range(BATCH), A, TTL, now=NOW)
                for idx in range(BATCH):
                    chunks.offer(conn, job_id, idx, now=NOW)
                twins = chunks.claim_many(conn, job_id, range(BATCH), B, TTL, now=NOW)
            lost = run(
                [partial(commits, database, *first), partial(commits, database, *twins[::-1])]
            )
            assert sorted(lost) == [0, BATCH]


@ON_POSTGRES
def test_of_many_that_want_to_be_the_twin_one_is(database: Database) -> None:
    def claim(job_id: JobId, worker: int) -> int:
        with database.write(durable=False) as conn:
            wish = (conn, job_id, 0, WorkerId(f"w{worker}"), TTL)
            return int(chunks.claim(*wish, now=NOW) is not None)

    with at_once() as run:
        for number in range(ROUNDS):
            with database.write() as conn:
                job_id = running(conn, output=f"file:///{number}")
                claimed(conn, job_id)
                chunks.offer(conn, job_id, 0, now=NOW)
            assert sum(run([partial(claim, job_id, each) for each in range(THREADS)])) == 1


@ON_POSTGRES
def test_a_batch_and_a_cancellation_agree(database: Database) -> None:
    """What is committed was so before the cancellation, all of the batch or nothing."""
    with at_once() as run:
        for number in range(ROUNDS):
            with database.write() as conn:
                job_id = running(conn, *range(1, 9), output=f"file:///{number}")
                leases = chunks.claim_many(conn, job_id, range(8), A, TTL, now=NOW)
            lost, _ = run([partial(commits, database, *leases), partial(cancel, database, job_id)])
            with database.read() as conn:
                progress = queries.progress(conn, job_id)
            assert job_row(database, job_id).state == "cancelling"
            assert progress.rows_ok == 8 - lost
            assert lost in (0, 8)


def cancel(database: Database, job_id: JobId) -> int:
    with database.write(durable=False) as conn:
        jobs.cancel(conn, job_id, now=NOW)
    return 0


@ON_POSTGRES
def test_whatever_ends_at_once_somebody_holds_it_or_nobody(database: Database) -> None:
    """The holder crashes, the twin lets go, and the reaper comes, all at the same moment."""
    with at_once() as run:
        for number in range(ROUNDS):
            with database.write() as conn:
                job_id = running(conn, output=f"file:///{number}")
                first = claimed(conn, job_id, worker=A)
                chunks.offer(conn, job_id, 0, now=NOW)
                twin = claimed(conn, job_id, worker=B, now=NOW + 30)
            run(
                [
                    partial(crashes, database, first),
                    partial(releases, database, twin),
                    partial(reaps, database),
                ]
            )
            row = chunk_row(database, job_id)
            assert (row.state, row.token, row.twin_token) == ("pending", None, None)
            # where the reaper was first, nobody had begun a row: that is a loss, and no crash
            assert row.crash_count + row.lost_count == 1


def crashes(database: Database, lease: Lease) -> None:
    with suppress(LeaseLost), database.write(durable=False) as conn:
        chunks.crash(conn, lease, [], "killed", now=NOW)


def releases(database: Database, lease: Lease) -> None:
    with suppress(LeaseLost), database.write(durable=False) as conn:
        chunks.release(conn, lease, infra=False, delay=0, reason="", now=NOW)


def reaps(database: Database) -> None:
    with database.write(durable=False) as conn:
        chunks.reap(conn, 9, now=LATER)
