"""A slow chunk that two workers compute: one commit, and whoever is left goes on alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import Connection

from millrace.db.session import Database
from millrace.errors import LeaseLost
from millrace.lifecycle import chunks, jobs, queries
from millrace.lifecycle.retry import Retry, Split
from millrace.types import ChunkState, JobId, Lease, WorkerId
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
    history,
    job_row,
    result,
    running,
)

C = WorkerId("worker-c")
TWINNED = NOW + 30
"""When the twin begins; its lease runs out so much later than that of the first holder."""

LetGo = Callable[[Connection, Lease], object]

LET_GO: dict[str, LetGo] = {
    "release": lambda conn, lease: chunks.release(
        conn, lease, infra=True, delay=0, reason="disk", now=TWINNED
    ),
    "release_many": lambda conn, lease: chunks.release_many(conn, [lease], "going", now=TWINNED),
    "crash": lambda conn, lease: chunks.crash(conn, lease, [4], "killed", now=TWINNED),
    "refuse_model": lambda conn, lease: chunks.refuse_model(
        conn, lease, "MODEL", "no weights", now=TWINNED
    ),
    "disown": lambda conn, lease: chunks.release_owned(conn, lease.worker, now=TWINNED),
}
WRITES: dict[str, LetGo] = {
    name: verb for name, verb in LET_GO.items() if name not in ("disown", "release_many")
} | {
    "renew": lambda conn, lease: chunks.renew(conn, lease, TTL, now=TWINNED),
    "commit": lambda conn, lease: chunks.commit(conn, lease, result(), now=TWINNED),
}


def twinned(conn: Connection) -> tuple[JobId, Lease, Lease]:
    """A running job, and the leases of the holder of its chunk and of the twin."""
    job_id = running(conn)
    first = claimed(conn, job_id, worker=A)
    chunks.renew(conn, first, TTL, 3, [3], now=NOW)
    assert chunks.offer(conn, job_id, 0, now=TWINNED)
    return job_id, first, claimed(conn, job_id, worker=B, now=TWINNED)


def both(first: Lease, twin: Lease, leaves: str) -> tuple[Lease, Lease]:
    """The lease that ends, then that which stays."""
    return (first, twin) if leaves == "first" else (twin, first)


class TestOffer:
    def test_only_what_is_offered_has_a_twin(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            claimed(conn, job_id, worker=A)
            assert chunks.claim(conn, job_id, 0, B, TTL, now=NOW) is None
            assert chunks.offer(conn, job_id, 0, now=NOW)
            assert chunks.claim(conn, job_id, 0, A, TTL, now=NOW) is None
            assert chunks.claim(conn, job_id, 0, B, TTL, now=NOW) is not None
            assert chunks.claim(conn, job_id, 0, C, TTL, now=NOW) is None
        assert history(database, job_id, 0) == [
            ("claim", "pending", "leased"),
            ("offer", "leased", "leased"),
            ("twin", "leased", "leased"),
        ]

    def test_a_chunk_is_offered_once(self, database: Database) -> None:
        with database.write() as conn:
            job_id, *_ = twinned(conn)
            assert not chunks.offer(conn, job_id, 0, now=TWINNED)

    def test_only_what_is_leased_and_wanted_is_offered(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            assert not chunks.offer(conn, job_id, 0, now=NOW)
            claimed(conn, job_id)
            jobs.pause(conn, job_id, now=NOW)
            assert not chunks.offer(conn, job_id, 0, now=NOW)
            published = finalizing(conn, output="file:///other")
            claimed(conn, published, 1)
            assert not chunks.offer(conn, published, 1, now=NOW)

    def test_no_twin_begins_in_a_paused_job(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            claimed(conn, job_id, worker=A)
            chunks.offer(conn, job_id, 0, now=NOW)
            jobs.pause(conn, job_id, now=NOW)
            assert chunks.claim(conn, job_id, 0, B, TTL, now=NOW) is None

    def test_the_twin_has_the_attempt_and_a_token_of_its_own(self, database: Database) -> None:
        with database.write() as conn:
            job_id, first, twin = twinned(conn)
        assert (twin.attempt, twin.span, twin.worker) == (first.attempt, first.span, B)
        assert twin.token != first.token
        row = chunk_row(database, job_id)
        assert (row.token, row.owner, row.lease_until) == (first.token, A, NOW + TTL)
        assert (row.twin_token, row.twin_owner) == (twin.token, B)
        assert (row.twin_until, row.twin_at) == (TWINNED + TTL, TWINNED)


@pytest.mark.parametrize("winner", ["first", "twin"])
class TestCommit:
    def test_the_first_commit_wins(self, database: Database, winner: str) -> None:
        with database.write() as conn:
            job_id, first, twin = twinned(conn)
            won, lost = both(first, twin, winner)
            chunks.commit(conn, won, result(), now=TWINNED + 5)
            assert chunks.settled(conn, won) == "committed"
            assert chunks.settled(conn, lost) == "lost"
        before = chunk_row(database, job_id)
        assert (before.state, before.token, before.owner) == ("committed", won.token, won.worker)
        assert (before.twin_token, before.offered_at) == (None, None)
        assert before.leased_at == (NOW if winner == "first" else TWINNED)
        for write in WRITES.values():
            with pytest.raises(LeaseLost), database.write() as conn:
                write(conn, lost)
        assert chunk_row(database, job_id) == before

    def test_it_is_counted_once(self, database: Database, winner: str) -> None:
        with database.write() as conn:
            job_id, first, twin = twinned(conn)
            won, lost = both(first, twin, winner)
            chunks.commit(conn, won, result(), now=TWINNED)
            assert chunks.commit_many(conn, [(lost, result())], now=TWINNED) == [lost]
            assert queries.progress(conn, job_id).rows_ok == 10

    def test_settled_before_the_commit(self, database: Database, winner: str) -> None:
        with database.write() as conn:
            _, first, twin = twinned(conn)
            assert chunks.settled(conn, both(first, twin, winner)[0]) == "leased"


@pytest.mark.parametrize("leaves", ["first", "twin"])
@pytest.mark.parametrize("how", LET_GO)
class TestLettingGo:
    def test_the_other_one_goes_on_alone(self, database: Database, how: str, leaves: str) -> None:
        with database.write() as conn:
            job_id, first, twin = twinned(conn)
            gone, left = both(first, twin, leaves)
            LET_GO[how](conn, gone)
        row = chunk_row(database, job_id)
        assert (row.state, row.attempt) == ("leased", left.attempt)
        assert (row.token, row.owner) == (left.token, left.worker)
        assert row.lease_until == (NOW + TTL if leaves == "twin" else TWINNED + TTL)
        assert row.leased_at == (NOW if leaves == "twin" else TWINNED)
        assert (row.twin_token, row.twin_owner, row.twin_until, row.twin_at) == (None,) * 4
        assert (row.progress_rows, row.in_flight) == ((3, [3]) if leaves == "twin" else (0, None))
        assert history(database, job_id, 0)[-1] == (how.split("_many")[0], "leased", "leased")

    def test_only_the_other_one_can_write(self, database: Database, how: str, leaves: str) -> None:
        with database.write() as conn:
            _, first, twin = twinned(conn)
            gone, left = both(first, twin, leaves)
            LET_GO[how](conn, gone)
        for write in WRITES.values():
            with pytest.raises(LeaseLost), database.write() as conn:
                write(conn, gone)
        with database.write() as conn:
            chunks.renew(conn, left, TTL, 5, [5], now=TWINNED)
            chunks.commit(conn, left, result(), now=TWINNED)

    def test_it_may_be_offered_again(self, database: Database, how: str, leaves: str) -> None:
        with database.write() as conn:
            job_id, first, twin = twinned(conn)
            LET_GO[how](conn, both(first, twin, leaves)[0])
            assert chunks.offer(conn, job_id, 0, now=TWINNED)
            assert claimed(conn, job_id, worker=C, now=TWINNED).attempt == 1

    def test_when_both_are_gone_the_chunk_is_open(
        self, database: Database, how: str, leaves: str
    ) -> None:
        with database.write() as conn:
            job_id, first, twin = twinned(conn)
            gone, left = both(first, twin, leaves)
            LET_GO[how](conn, gone)
            chunks.release(conn, left, infra=False, delay=0, reason="", now=TWINNED)
            fresh = claimed(conn, job_id, worker=C, now=MUCH_LATER)
        assert fresh.attempt == 2
        for stale in (first, twin):
            with pytest.raises(LeaseLost), database.write() as conn:
                chunks.commit(conn, stale, result(), now=MUCH_LATER)


class TestCrash:
    def test_nothing_is_judged_while_the_other_one_works(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            chunks.crash(conn, claimed(conn, job_id), [], "first", now=NOW)
            first = claimed(conn, job_id, worker=A, now=LATER)
            chunks.offer(conn, job_id, 0, now=LATER)
            twin = claimed(conn, job_id, worker=B, now=LATER)
            assert chunks.crash(conn, first, [4], "second", now=LATER) == Retry()
            assert isinstance(chunks.crash(conn, twin, [4], "third", now=LATER), Split)
        row = chunk_row(database, job_id)
        assert (row.state, row.crash_count, row.twin_token) == ("split", 3, None)

    @pytest.mark.parametrize("leaves", ["first", "twin"])
    def test_its_suspects_are_kept(self, database: Database, leaves: str) -> None:
        with database.write() as conn:
            job_id, first, twin = twinned(conn)
            chunks.crash(conn, both(first, twin, leaves)[0], [4], "killed", now=TWINNED)
        assert chunk_row(database, job_id).suspects == [4]
        assert chunk_row(database, job_id).crash_count == 1


class TestReap:
    @pytest.mark.parametrize(
        ("at", "left", "crashes"),
        [(NOW + TTL - 1, "both", 0), (NOW + TTL + 1, "twin", 1), (MUCH_LATER, "none", 1)],
    )
    def test_who_ran_out_is_taken_away(
        self, database: Database, at: float, left: str, crashes: int
    ) -> None:
        with database.write() as conn:
            job_id, first, twin = twinned(conn)
            assert chunks.reap(conn, 9, now=at) == ([] if left == "both" else [(job_id, 0)])
            held = [each for each in (first, twin) if chunks.settled(conn, each) == "leased"]
        assert held == {"both": [first, twin], "twin": [twin], "none": []}[left]
        row = chunk_row(database, job_id)
        assert row.state == ("pending" if left == "none" else "leased")
        assert row.crash_count == crashes

    def test_a_twin_that_falls_silent_costs_the_chunk_nothing(self, database: Database) -> None:
        with database.write() as conn:
            job_id, first, twin = twinned(conn)
            chunks.renew(conn, first, 10 * TTL, 4, [4], now=TWINNED)
            assert chunks.reap(conn, 9, now=LATER + 60) == [(job_id, 0)]
            assert chunks.settled(conn, twin) == "lost"
            assert chunks.settled(conn, first) == "leased"
        row = chunk_row(database, job_id)
        assert (row.state, row.crash_count, row.suspects) == ("leased", 0, None)
        assert (row.progress_rows, row.in_flight) == (4, [4])

    def test_a_twin_of_a_job_that_ended_is_taken_away_too(self, database: Database) -> None:
        with database.write() as conn:
            job_id, *_ = twinned(conn)
            jobs.cancel(conn, job_id, now=TWINNED)
            chunks.reap(conn, 9, now=LATER)
            assert not jobs.close_cancelled(conn, job_id, now=LATER)
            chunks.reap(conn, 9, now=MUCH_LATER)
            assert jobs.close_cancelled(conn, job_id, now=MUCH_LATER)
        assert chunk_row(database, job_id).crash_count == 0


class TestRenew:
    def test_each_prolongs_its_own(self, database: Database) -> None:
        with database.write() as conn:
            job_id, first, twin = twinned(conn)
            chunks.renew(conn, twin, TTL, 9, [9], now=NOW + 40)
            assert chunks.renew_many(conn, [first], TTL, now=NOW + 50) == [first]
            assert chunks.renew_many(conn, [twin], TTL, now=NOW + 45) == [twin]
        row = chunk_row(database, job_id)
        assert (row.lease_until, row.twin_until) == (NOW + 50 + TTL, NOW + 45 + TTL)
        assert (row.progress_rows, row.in_flight) == (3, [3])


def test_who_ends_all_ends_both(database: Database) -> None:
    with database.write() as conn:
        job_id, first, twin = twinned(conn)
        assert chunks.release_job(conn, job_id, now=TWINNED) == [(job_id, 0)]
        assert [chunks.settled(conn, each) for each in (first, twin)] == ["lost", "lost"]
    row = chunk_row(database, job_id)
    assert (row.state, row.crash_count, row.lost_count) == ("pending", 0, 1)


def test_a_new_run_fences_both(database: Database) -> None:
    with database.write() as conn:
        job_id, first, twin = twinned(conn)
        jobs.fail(conn, job_id, "BROKEN", "broken", now=TWINNED)
        jobs.retry(conn, job_id, now=TWINNED)
    assert chunk_row(database, job_id).state == ChunkState.PENDING
    for stale in (first, twin):
        for write in WRITES.values():
            with pytest.raises(LeaseLost), database.write() as conn:
                write(conn, stale)


def test_a_cancellation_stops_both(database: Database) -> None:
    with database.write() as conn:
        job_id, first, twin = twinned(conn)
        jobs.cancel(conn, job_id, now=TWINNED)
        assert chunks.renew_many(conn, [first, twin], TTL, now=TWINNED) == []
        assert chunks.commit_many(conn, [(twin, result())], now=TWINNED) == [twin]
    assert job_row(database, job_id).state == "cancelling"
