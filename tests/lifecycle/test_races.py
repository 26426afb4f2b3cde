"""Verbs that run at once: threads on real connections, all let go by one barrier."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

import pytest
from sqlalchemy import text

from millrace.db.session import Database
from millrace.errors import Conflict, LeaseLost
from millrace.lifecycle import chunks, events, jobs, queries
from millrace.lifecycle.guards import lock_job
from millrace.types import ChunkState, JobId, Lease, PlannedChunk, Span, WorkerId
from tests.lifecycle.at_once import THREADS, at_once
from tests.lifecycle.stage import (
    LATER,
    MUCH_LATER,
    NOW,
    TTL,
    A,
    B,
    chunk_row,
    claimed,
    history,
    job_row,
    pinned,
    result,
    running,
    submitted,
)

CHUNKS = 250
ROUNDS = 25


def test_of_a_thousand_claims_each_chunk_has_one_winner(database: Database) -> None:
    with database.write() as conn:
        job_id = submitted(conn)
        jobs.pin(conn, job_id, pinned(CHUNKS), "")
        jobs.add_chunks(conn, job_id, [PlannedChunk(Span(i, i + 1), 1) for i in range(CHUNKS)])
        jobs.queue(conn, job_id, now=NOW)
        jobs.start(conn, job_id, now=NOW)

    def claim_all(worker: WorkerId) -> list[Lease]:
        won = []
        for idx in range(CHUNKS):
            with database.write(durable=False) as conn:
                lease = chunks.claim(conn, job_id, idx, worker, TTL, now=NOW)
            won += [lease] if lease else []
        return won

    names = [WorkerId(f"w{i}") for i in range(THREADS)]
    with at_once() as run:
        won = run([partial(claim_all, name) for name in names])

    leases = [lease for each in won for lease in each]
    assert sorted(lease.idx for lease in leases) == list(range(CHUNKS))
    assert {lease.attempt for lease in leases} == {1}
    for lease in leases[::50]:
        assert chunk_row(database, job_id, lease.idx).token == lease.token


def test_cancel_commit_and_freeze_agree(database: Database) -> None:
    """Never a commit after the cancellation, never a frozen job with an open chunk (I11)."""
    with at_once() as run:
        for number in range(ROUNDS):
            with database.write() as conn:
                job_id = running(conn, output=f"file:///{number}")
                lease = claimed(conn, job_id)
            run(
                [committer(database, lease), canceller(database, job_id), freezer(database, job_id)]
            )
            assert_agreement(database, job_id)


def committer(database: Database, lease: Lease) -> Callable[[], None]:
    def commit() -> None:
        with suppress(LeaseLost), database.write() as conn:
            chunks.commit(conn, lease, result(), now=NOW)

    return commit


def canceller(database: Database, job_id: JobId) -> Callable[[], None]:
    def cancel() -> None:
        with suppress(Conflict), database.write() as conn:
            jobs.cancel(conn, job_id, now=NOW)

    return cancel


def freezer(database: Database, job_id: JobId) -> Callable[[], None]:
    def freeze() -> None:
        with database.write() as conn:
            jobs.freeze(conn, job_id, now=NOW)

    return freeze


def assert_agreement(database: Database, job_id: JobId) -> None:
    job, chunk = job_row(database, job_id), chunk_row(database, job_id)
    assert job.state in ("cancelling", "finalizing")
    assert job.state == "cancelling" or chunk.state == "committed"
    with database.read() as conn:
        verbs = [each.verb for each in events.page(conn, job_id)]
    if "cancel" in verbs and "commit" in verbs:
        assert verbs.index("commit") < verbs.index("cancel")


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_cancellation_waits_for_the_commit_that_began_before_it(database: Database) -> None:
    """The write skew that FOR SHARE is there for: commit has looked, cancel comes, commit ends."""
    with database.write() as conn:
        job_id = running(conn)
        lease = claimed(conn, job_id)
    with ThreadPoolExecutor(1) as pool:
        with database.write() as conn:
            chunks.commit(conn, lease, result(), now=NOW)
            cancelled = pool.submit(canceller(database, job_id))
            await_somebody_blocked(database)
            assert not cancelled.done()
        cancelled.result(timeout=30)
    assert job_row(database, job_id).state == "cancelling"
    assert chunk_row(database, job_id).state == "committed"


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_renewal_between_the_look_and_the_blow_of_the_reaper(database: Database) -> None:
    with database.write() as conn:
        job_id = running(conn)
        lease = claimed(conn, job_id)
    with ThreadPoolExecutor(1) as pool:
        with database.write() as conn:
            lock_job(conn, job_id)
            reaped = pool.submit(reap, database)
            await_somebody_blocked(database)
            chunks.renew(conn, lease, 10 * TTL, now=LATER)
        assert reaped.result(timeout=30) == 0
    assert chunk_row(database, job_id).token == lease.token


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_twin_that_comes_between_the_look_and_the_blow_of_the_reaper(database: Database) -> None:
    with database.write() as conn:
        job_id = running(conn)
        claimed(conn, job_id, worker=A)
        chunks.offer(conn, job_id, 0, now=NOW)
    with ThreadPoolExecutor(1) as pool:
        with database.write() as conn:
            lock_job(conn, job_id)
            reaped = pool.submit(reap, database)
            await_somebody_blocked(database)
            twin = claimed(conn, job_id, worker=B, now=LATER)
        assert reaped.result(timeout=30) == 0
    with database.read() as conn:
        assert chunks.settled(conn, twin) == "leased"
    assert reap(database) == 1
    assert chunk_row(database, job_id).token == twin.token


def await_somebody_blocked(database: Database) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with database.read() as conn:
            if conn.scalar(waiting):
                return
    pytest.fail("nobody waits for the lock")


def test_a_renewal_and_a_reaper_never_both_win(database: Database) -> None:
    with at_once() as run:
        for number in range(ROUNDS):
            with database.write() as conn:
                job_id = running(conn, output=f"file:///{number}")
                lease = claimed(conn, job_id)
            renewed, reaped = run([partial(renew, database, lease), partial(reap, database)])
            assert bool(renewed) != bool(reaped)
            with database.write() as conn:
                jobs.fail(conn, job_id, "OVER", "end of the round", now=NOW)
                chunks.release_job(conn, job_id, now=NOW)


def renew(database: Database, lease: Lease) -> int:
    try:
        with database.write() as conn:
            chunks.renew(conn, lease, 10 * TTL, now=LATER)
    except LeaseLost:
        return 0
    return 1


def reap(database: Database) -> int:
    with database.write() as conn:
        return len(chunks.reap(conn, 10, now=LATER))


def test_two_reapers_count_one_crash(database: Database) -> None:
    with database.write() as conn:
        job_id = running(conn)
        chunks.renew(conn, claimed(conn, job_id), TTL, 0, [3], now=NOW)

    with at_once() as run:
        assert sorted(run([partial(reap, database)] * THREADS)) == [0] * (THREADS - 1) + [1]
    assert chunk_row(database, job_id).crash_count == 1


def test_splits_at_once_take_different_numbers(database: Database) -> None:
    with database.write() as conn:
        job_id = running(conn, 10, 20, 30, 40)
        for idx in range(THREADS):
            chunks.crash(conn, claimed(conn, job_id, idx), (), "", now=NOW)
        leases = [claimed(conn, job_id, idx, now=MUCH_LATER) for idx in range(THREADS)]

    def crash(lease: Lease) -> None:
        with database.write() as conn:
            chunks.crash(conn, lease, (), "", now=NOW)

    with at_once() as run:
        run([partial(crash, lease) for lease in leases])
    with database.read() as conn:
        counts = queries.progress(conn, job_id).chunks
    assert (counts[ChunkState.SPLIT], counts[ChunkState.PENDING]) == (THREADS, 2 * THREADS)


def test_one_submission_owns_the_output(database: Database) -> None:
    def submit() -> str:
        try:
            with database.write() as conn:
                submitted(conn)
        except Conflict as conflict:
            return conflict.code
        return "ok"

    with at_once() as run:
        assert sorted(run([submit] * THREADS)) == ["OUTPUT_OWNED"] * (THREADS - 1) + ["ok"]


def test_one_finisher_freezes(database: Database) -> None:
    with database.write() as conn:
        job_id = running(conn)
        chunks.commit(conn, claimed(conn, job_id), result(), now=NOW)
    with at_once() as run:
        run([freezer(database, job_id)] * THREADS)
    assert [verb for verb, *_ in history(database, job_id)].count("freeze") == 1
