"""The sums that are kept are those that a count would give, whatever happened."""

from __future__ import annotations

import random
from contextlib import suppress

import pytest
from sqlalchemy import Connection, func, select

from millrace.db import tables
from millrace.db.session import Database
from millrace.errors import LeaseLost
from millrace.lifecycle import chunks, jobs, queries, tally
from millrace.types import ChunkState, JobId, JobState, Lease, PlannedChunk, Span
from tests.lifecycle.stage import (
    LATER,
    NOW,
    TTL,
    A,
    B,
    chunk_row,
    claimed,
    pinned,
    result,
    running,
    submitted,
)

STEPS = 120


def counted(conn: Connection, job_id: JobId) -> queries.Progress:
    """What `progress` should say, by looking at every chunk."""
    rows = conn.execute(
        select(tables.chunk).where(tables.chunk.c.job_id == job_id, tables.chunk.c.kind == "infer")
    ).all()
    settled = [row for row in rows if row.state in ("committed", "dead")]
    return queries.Progress(
        rows_ok=sum(row.rows_ok for row in settled),
        rows_err=sum(row.rows_err for row in settled),
        rows_in_flight=sum(row.progress_rows for row in rows),
        weight_done=sum(row.weight for row in settled),
        weight_total=sum(row.weight for row in rows if row.state != "split"),
        chunks={state: sum(row.state == state for row in rows) for state in ChunkState},
    )


@pytest.mark.parametrize("seed", range(6))
def test_progress_is_what_a_count_gives(database: Database, seed: int) -> None:
    """A random life of a job: crashes, splits, twins, batches, retries with and without errors."""
    draw, at = random.Random(seed), NOW
    with database.write() as conn:
        job_id = running(conn, 8, 16, 24, 30, 31)
    held: list[Lease] = []
    for _ in range(STEPS):
        at += 100
        with database.write() as conn:
            step(conn, job_id, held, draw, at)
            assert queries.progress(conn, job_id) == counted(conn, job_id)


def step(
    conn: Connection, job_id: JobId, held: list[Lease], draw: random.Random, at: float
) -> None:
    """One thing that may happen to the job; fenced leases are kept, as zombies keep theirs."""
    idxs = list(conn.execute(select(tables.chunk.c.idx)).scalars())
    some = draw.sample(idxs, min(3, len(idxs)))
    lease = draw.choice(held) if held else None
    match draw.choice(["claim", "claim", "commit", "crash", "renew", "reap", "offer", "retry"]):
        case "claim":
            held += chunks.claim_many(conn, job_id, some, draw.choice([A, B]), 1e6, now=at)
        case "offer":
            chunks.offer(conn, job_id, some[0], now=at)
        case "reap":
            chunks.release_owned(conn, draw.choice([A, B]), now=at)
        case "retry" if draw.random() < 0.4:
            jobs.fail(conn, job_id, "BROKEN", "broken", now=at)
            jobs.retry(conn, job_id, errors=draw.random() < 0.5, now=at)
        case "commit" if lease is not None:
            rows_err = draw.choice([0, 0, lease.span.length])
            done = result(lease.span.length - rows_err, rows_err)
            chunks.commit_many(conn, [(lease, done)], now=at)
        case "crash" if lease is not None:
            attempt(conn, lease, draw, at)
        case "renew" if lease is not None and chunks.settled(conn, lease) == "leased":
            chunks.renew(conn, lease, 1e6, draw.randrange(9), [lease.span.start], now=at)
        case _:
            pass


def attempt(conn: Connection, lease: Lease, draw: random.Random, at: float) -> None:
    suspects = [draw.choice([lease.span.start, lease.span.end])]
    with suppress(LeaseLost):
        chunks.crash(conn, lease, suspects, "died", now=at)


def test_a_batch_is_added_to_one_row(database: Database) -> None:
    with database.write() as conn:
        job_id = running(conn, *range(1, 41))
        leases = chunks.claim_many(conn, job_id, range(40), A, TTL, now=NOW)
        chunks.commit_many(conn, [(each, result(1)) for each in leases], now=NOW)
        rows = select(func.count()).select_from(tables.tally)
        assert conn.scalar(rows.where(tables.tally.c.job_id == job_id)) == 1
        assert queries.progress(conn, job_id).weight_done == 40


def test_single_commits_are_spread(database: Database) -> None:
    with database.write() as conn:
        job_id = running(conn, *range(1, 41))
        for idx in range(40):
            chunks.commit(conn, claimed(conn, job_id, idx), result(1), now=NOW)
        rows = select(func.count()).select_from(tables.tally)
        assert conn.scalar(rows.where(tables.tally.c.job_id == job_id)) == tally.SLOTS
        assert queries.progress(conn, job_id).weight_done == 40


def test_an_interrupted_plan_is_counted_anew(database: Database) -> None:
    with database.write() as conn:
        job_id = submitted(conn)
        for extent in (90, 10):
            jobs.pin(conn, job_id, pinned(extent), "")
            jobs.add_chunks(conn, job_id, [PlannedChunk(Span(0, extent), extent)])
        assert queries.progress(conn, job_id) == counted(conn, job_id)
        assert queries.progress(conn, job_id).weight_total == 10


class TestRetryOfErrors:
    def test_chunks_with_errors_run_again(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 10, 20, 30)
            first, second, third = chunks.claim_many(conn, job_id, range(3), A, TTL, now=NOW)
            chunks.commit_many(conn, [(first, result(10)), (second, result(9, 1))], now=NOW)
            jobs.fail(conn, job_id, "TOO_MANY_ERRORS", "too many", now=NOW)
            assert jobs.retry(conn, job_id, errors=True, now=NOW) == JobState.RUNNING
            progress = queries.progress(conn, job_id)
            assert [each.idx for each in queries.settled_chunks(conn, job_id)] == [0]
            again = claimed(conn, job_id, 1, B)
            for stale in (second, third):
                assert chunks.commit_many(conn, [(stale, result())], now=NOW) == [stale]
            chunks.commit(conn, again, result(10), now=NOW)
        assert (progress.rows_ok, progress.rows_err, progress.weight_done) == (10, 0, 10)
        assert progress.chunks[ChunkState.PENDING] == 2
        assert again.attempt == 3
        assert chunk_row(database, job_id, 1).rows_err == 0

    def test_dead_ones_too(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 1)
            for at in (NOW, LATER):
                chunks.crash(conn, claimed(conn, job_id, now=at), [], "died", now=at)
            jobs.fail(conn, job_id, "TOO_MANY_ERRORS", "too many", now=LATER)
        assert chunk_row(database, job_id).state == "dead"
        with database.write() as conn:
            assert queries.progress(conn, job_id) == counted(conn, job_id)
            jobs.retry(conn, job_id, errors=True, now=LATER)
            assert claimed(conn, job_id, now=LATER).crash_count == 0

    def test_without_being_asked_they_stay(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 10, 20)
            chunks.commit(conn, claimed(conn, job_id), result(9, 1), now=NOW)
            jobs.fail(conn, job_id, "BROKEN", "broken", now=NOW)
            jobs.retry(conn, job_id, now=NOW)
        assert chunk_row(database, job_id).state == "committed"
