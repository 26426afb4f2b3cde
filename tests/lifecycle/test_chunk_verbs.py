"""Claim, renew, commit, release, refuse, ring: each guard has a test that needs it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Connection

from millrace.db.session import Database
from millrace.errors import LeaseLost
from millrace.lifecycle import chunks, jobs, queries
from millrace.types import ChunkState, JobId, JobState, Reading
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
    in_state,
    job_row,
    result,
    running,
)


class TestClaim:
    def test_it_takes_the_lease(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            lease = claimed(conn, job_id)
        row = chunk_row(database, job_id)
        assert (row.state, row.attempt, row.token) == ("leased", 1, lease.token)
        assert (row.owner, row.lease_until) == (A, NOW + TTL)
        assert history(database, job_id, 0) == [("claim", "pending", "leased")]

    def test_tokens_are_random(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 5, 10)
            assert claimed(conn, job_id, 0).token != claimed(conn, job_id, 1).token

    @pytest.mark.parametrize("state", ChunkState)
    def test_only_a_pending_chunk(self, database: Database, state: ChunkState) -> None:
        with database.write() as conn:
            job_id = in_chunk_state(conn, state)
            lease = chunks.claim(conn, job_id, 0, B, TTL, now=MUCH_LATER)
        assert (lease is not None) == (state is ChunkState.PENDING)

    def test_an_expired_lease_is_the_reapers_alone(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            claimed(conn, job_id)
            assert chunks.claim(conn, job_id, 0, B, TTL, now=MUCH_LATER) is None

    @pytest.mark.parametrize("state", [state for state in JobState if state != "running"])
    def test_infer_needs_a_running_job(self, database: Database, state: JobState) -> None:
        with database.write() as conn:
            job_id = in_state(conn, state)
            assert chunks.claim(conn, job_id, 0, A, TTL, now=NOW) is None

    def test_finalize_needs_a_finalizing_job(self, database: Database) -> None:
        with database.write() as conn:
            job_id = finalizing(conn)
            jobs.abandon(conn, claimed(conn, job_id, 1), "LOST", "gone", now=NOW)
            jobs.retry(conn, job_id, now=NOW)
            assert chunks.claim(conn, job_id, 1, A, TTL, now=NOW) is None
            jobs.freeze(conn, job_id, now=NOW)
            assert chunks.claim(conn, job_id, 1, A, TTL, now=NOW) is not None

    def test_not_before_its_time(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            chunks.release(
                conn, claimed(conn, job_id), infra=True, delay=30, reason="disk", now=NOW
            )
            assert chunks.claim(conn, job_id, 0, A, TTL, now=NOW + 29) is None
            assert chunks.claim(conn, job_id, 0, A, TTL, now=NOW + 30) is not None

    def test_unknown_names_are_dropped(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            assert chunks.claim(conn, JobId("nobody"), 0, A, TTL, now=NOW) is None
            assert chunks.claim(conn, job_id, 99, A, TTL, now=NOW) is None


class TestRenew:
    def test_it_prolongs_and_notes(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            chunks.renew(conn, claimed(conn, job_id), TTL, 4, [5, 6], now=NOW + 30)
        row = chunk_row(database, job_id)
        assert (row.lease_until, row.progress_rows, row.in_flight) == (NOW + 90, 4, [5, 6])

    @pytest.mark.parametrize("end", ["cancel", "fail", "expire"])
    def test_a_job_that_ends_stops_its_workers(self, database: Database, end: str) -> None:
        with database.write() as conn:
            job_id = in_state(conn, JobState.RUNNING)
            lease = claimed(conn, job_id)
            ended(conn, job_id, end)
        with pytest.raises(LeaseLost), database.write() as conn:
            chunks.renew(conn, lease, TTL, now=NOW + 5)
        assert chunk_row(database, job_id).lease_until == NOW + TTL

    def test_a_pause_lets_what_runs_come_to_its_end(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            lease = claimed(conn, job_id)
            jobs.pause(conn, job_id, now=NOW)
            chunks.renew(conn, lease, TTL, now=NOW)
            chunks.commit(conn, lease, result(), now=NOW)
        assert chunk_row(database, job_id).state == "committed"


class TestCommit:
    def test_it_keeps_the_result(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            lease = claimed(conn, job_id)
            chunks.commit(conn, lease, result(8, 2), now=NOW)
            assert chunks.settled(conn, lease) == "committed"
            (settled,) = queries.settled_chunks(conn, job_id)
        expected = result(8, 2)
        assert (settled.rows_ok, settled.rows_err) == (8, 2)
        assert (settled.part, settled.error_part) == (expected.part, expected.error_part)
        assert (settled.readings, settled.fingerprint) == (
            (Reading(0, 10, 0, 10),),
            {"engine": "echo"},
        )

    @pytest.mark.parametrize("end", ["cancel", "fail", "expire"])
    def test_no_commit_once_the_job_has_ended(self, database: Database, end: str) -> None:
        with database.write() as conn:
            job_id = in_state(conn, JobState.RUNNING)
            lease = claimed(conn, job_id)
            ended(conn, job_id, end)
        with pytest.raises(LeaseLost), database.write() as conn:
            chunks.commit(conn, lease, result(), now=NOW)
        assert chunk_row(database, job_id).state == "leased"

    def test_a_finalize_chunk_is_not_committed_so(self, database: Database) -> None:
        with database.write() as conn:
            job_id = finalizing(conn)
            lease = claimed(conn, job_id, 1)
        with pytest.raises(LeaseLost), database.write() as conn:
            chunks.commit(conn, lease, result(), now=NOW)

    def test_settled_tells_the_outcome(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            first = claimed(conn, job_id)
            assert chunks.settled(conn, first) == "leased"
            chunks.reap(conn, 10, now=LATER)
            assert chunks.settled(conn, first) == "lost"
            second = claimed(conn, job_id, now=MUCH_LATER)
            chunks.commit(conn, second, result(), now=MUCH_LATER)
            assert chunks.settled(conn, first) == "lost"
            assert chunks.settled(conn, second) == "committed"
            assert chunks.settled(conn, replace(second, token=first.token)) == "lost"
            assert chunks.settled(conn, replace(second, attempt=first.attempt)) == "lost"


class TestRelease:
    @pytest.mark.parametrize("infra", [True, False])
    def test_it_gives_the_chunk_back(self, database: Database, infra: bool) -> None:
        with database.write() as conn:
            job_id = running(conn)
            lease = claimed(conn, job_id)
            chunks.renew(conn, lease, TTL, 4, [5], now=NOW)
            chunks.release(conn, lease, infra=infra, delay=5, reason="why", now=NOW)
        row = chunk_row(database, job_id)
        assert (row.state, row.attempt, row.not_before) == ("pending", 1, NOW + 5)
        assert (row.infra_count, row.crash_count) == (int(infra), 0)
        assert (row.token, row.progress_rows, row.in_flight, row.suspects) == (None, 0, None, None)


class TestRefuseModel:
    def test_the_second_refusal_fails_the_job_once(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 5, 10)
            first, second = claimed(conn, job_id, 0), claimed(conn, job_id, 1, B)
            assert not chunks.refuse_model(conn, first, "MODEL", "no weights", now=NOW)
            assert chunks.refuse_model(conn, second, "MODEL", "no weights", now=NOW)
        row = job_row(database, job_id)
        assert (row.state, row.reason_code, row.reason) == ("failed", "MODEL", "no weights")
        assert chunk_row(database, job_id, 0).state == "pending"

    def test_a_new_run_gets_new_chances(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            for _ in range(2):
                lease = claimed(conn, job_id, now=MUCH_LATER)
                chunks.refuse_model(conn, lease, "MODEL", "no", now=NOW)
            jobs.retry(conn, job_id, now=NOW)
            lease = claimed(conn, job_id, now=MUCH_LATER)
            assert not chunks.refuse_model(conn, lease, "MODEL", "no", now=NOW)
        assert job_row(database, job_id).state == "running"


class TestRing:
    def test_what_was_rung_for_is_left_alone_for_a_while(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 5, 10)
            assert chunks.ring_many(conn, job_id, [0], now=NOW) == 1
            due = queries.due(conn, limit=9, unrung_for=30, now=NOW)
            again = queries.due(conn, limit=9, unrung_for=30, now=NOW + 31)
        assert (due, again) == ([(job_id, 1)], [(job_id, 0), (job_id, 1)])

    def test_only_what_is_pending_is_rung_for(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            claimed(conn, job_id)
            assert chunks.ring_many(conn, job_id, [0], now=NOW) == 0
        assert chunk_row(database, job_id).rung_at is None


def ended(conn: Connection, job_id: JobId, end: str) -> None:
    """End a job whose deadline is a second after `NOW`."""
    if end == "cancel":
        jobs.cancel(conn, job_id, now=NOW)
    elif end == "fail":
        assert jobs.fail(conn, job_id, "BROKEN", "broken", now=NOW)
    else:
        assert jobs.expire(conn, job_id, now=NOW + 1)


def in_chunk_state(conn: Connection, state: ChunkState) -> JobId:
    """A running job whose chunk 0 is in that state."""
    job_id = running(conn, 1 if state is ChunkState.DEAD else 10)
    if state is not ChunkState.PENDING:
        lease = claimed(conn, job_id)
        if state is ChunkState.COMMITTED:
            chunks.commit(conn, lease, result(), now=NOW)
        elif state is not ChunkState.LEASED:
            chunks.crash(conn, lease, (), "died", now=NOW)
            chunks.crash(conn, claimed(conn, job_id, now=LATER), (), "died", now=LATER)
    return job_id
