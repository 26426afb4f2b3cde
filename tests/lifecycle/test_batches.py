"""Several chunks of one job in one transaction: claimed, renewed, committed, let go, called to."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Connection, select

from millrace.db import tables
from millrace.db.session import Database
from millrace.lifecycle import chunks, events, jobs, queries
from millrace.types import JobId, JobState, Lease
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
    in_state,
    result,
    running,
)

BORDERS = (10, 20, 30, 40)


def batch(conn: Connection, job_id: JobId, *idxs: int) -> list[Lease]:
    return chunks.claim_many(conn, job_id, idxs, A, TTL, now=NOW)


class TestClaim:
    def test_they_come_in_the_order_asked_for(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, *BORDERS)
            leases = batch(conn, job_id, 2, 0, 3, 2)
        assert [lease.idx for lease in leases] == [2, 0, 3]
        assert len({lease.token for lease in leases}) == 1
        row = chunk_row(database, job_id, 3)
        assert (row.state, row.attempt, row.token) == ("leased", 1, leases[0].token)
        assert (row.owner, row.lease_until, row.leased_at) == (A, NOW + TTL, NOW)
        assert history(database, job_id, 3) == [("claim", "pending", "leased")]

    def test_only_those_that_are_to_be_had(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, *BORDERS)
            claimed(conn, job_id, 0, B)
            chunks.commit(conn, claimed(conn, job_id, 1, B), result(), now=NOW)
            late = claimed(conn, job_id, 2, B)
            chunks.release(conn, late, infra=False, delay=9, reason="", now=NOW)
            assert [lease.idx for lease in batch(conn, job_id, 0, 1, 2, 3, 99)] == [3]
            assert batch(conn, job_id) == []

    def test_what_is_offered_comes_with_the_rest(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, *BORDERS)
            claimed(conn, job_id, 0, B)
            chunks.offer(conn, job_id, 0, now=NOW)
            assert [lease.idx for lease in batch(conn, job_id, 0, 1)] == [0, 1]
        assert chunk_row(database, job_id, 0).twin_owner == A
        assert chunk_row(database, job_id, 1).owner == A

    @pytest.mark.parametrize("state", ["paused", "cancelling", "failed"])
    def test_nothing_of_a_job_that_stands_still(self, database: Database, state: str) -> None:
        with database.write() as conn:
            job_id = in_state(conn, JobState(state))
            assert batch(conn, job_id, 0) == []

    @pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
    def test_nobody_waits_for_who_claims_the_same(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, *BORDERS)
        with database.write() as one, database.write() as other:
            assert len(batch(one, job_id, 0, 1)) == 2
            assert [lease.idx for lease in batch(other, job_id, 0, 1, 2)] == [2]


class TestRenew:
    def test_those_still_held_and_wanted(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, *BORDERS)
            leases = batch(conn, job_id, 0, 1, 2, 3)
            chunks.commit(conn, leases[0], result(), now=NOW)
            chunks.release(conn, leases[1], infra=False, delay=0, reason="", now=NOW)
            claimed(conn, job_id, 1, B)
            stale = replace(leases[2], attempt=2)
            assert chunks.renew_many(conn, [*leases[:2], stale], TTL, now=NOW + 9) == []
            assert chunks.renew_many(conn, leases, TTL, now=NOW + 9) == leases[2:]
        assert chunk_row(database, job_id, 1).lease_until == NOW + TTL
        assert chunk_row(database, job_id, 3).lease_until == NOW + 9 + TTL

    def test_nothing_of_a_job_that_ended(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, *BORDERS)
            leases = batch(conn, job_id, 0, 1)
            jobs.cancel(conn, job_id, now=NOW)
            assert chunks.renew_many(conn, leases, TTL, now=NOW) == []


class TestCommit:
    def test_what_is_held_is_kept_and_the_rest_is_told(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, *BORDERS)
            leases = batch(conn, job_id, 0, 1, 2, 3)
            chunks.commit(conn, leases[1], result(9, 1), now=NOW)
            chunks.release_many(conn, [leases[2]], "", now=NOW)
            done = [(each, result(8, 2)) for each in leases]
            assert chunks.commit_many(conn, done, now=NOW) == leases[1:3]
            assert chunks.commit_many(conn, [], now=NOW) == []
            progress = queries.progress(conn, job_id)
        assert (progress.rows_ok, progress.rows_err) == (8 + 9 + 8, 2 + 1 + 2)
        assert chunk_row(database, job_id, 3).rows_err == 2
        assert chunk_row(database, job_id, 3).leased_at == NOW
        assert chunk_row(database, job_id, 2).state == "pending"
        assert history(database, job_id, 3)[-1] == ("commit", "leased", "committed")

    def test_each_keeps_its_own_result(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, *BORDERS)
            first, second = batch(conn, job_id, 0, 1)
            chunks.commit_many(conn, [(second, result(4)), (first, result(7, 3))], now=NOW)
            kept = {each.idx: each for each in queries.settled_chunks(conn, job_id)}
        assert (kept[0].rows_ok, kept[0].error_part) == (7, result(7, 3).error_part)
        assert (kept[1].rows_ok, kept[1].error_part) == (4, None)

    def test_a_stale_attempt_or_token_commits_nothing(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, *BORDERS)
            (lease,) = batch(conn, job_id, 0)
            for stale in (replace(lease, token="f" * 32), replace(lease, attempt=2)):
                assert chunks.commit_many(conn, [(stale, result())], now=NOW) == [stale]
            assert queries.progress(conn, job_id).rows_ok == 0


class TestRelease:
    def test_what_was_not_begun_goes_back(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, *BORDERS)
            leases = batch(conn, job_id, 0, 1, 2)
            chunks.commit(conn, leases[0], result(), now=NOW)
            assert chunks.release_many(conn, leases, "leaving", now=NOW) == leases[1:]
            again = chunks.claim_many(conn, job_id, [0, 1, 2], B, TTL, now=NOW)
        assert [(lease.idx, lease.attempt) for lease in again] == [(1, 2), (2, 2)]
        row = chunk_row(database, job_id, 1)
        assert (row.infra_count, row.crash_count) == (0, 0)


class TestRing:
    def test_the_order_of_calls_is_kept(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, *BORDERS)
            claimed(conn, job_id, 1)
            assert chunks.ring_many(conn, job_id, [3, 1, 0], rung_to=B, now=NOW) == 2
            assert chunks.ring_many(conn, job_id, [2], order=3, now=NOW) == 1
            assert chunks.ring_many(conn, job_id, [], now=NOW) == 0
            rung = select(tables.chunk.c.idx, tables.chunk.c.rung_to)
            found = conn.execute(
                rung.where(tables.chunk.c.rung_at.is_not(None)).order_by(tables.chunk.c.rung_at)
            ).all()
        assert [tuple(row) for row in found] == [(3, B), (0, B), (2, None)]
        assert chunk_row(database, job_id, 2).rung_at == pytest.approx(NOW + 3e-6, abs=1e-6)

    def test_who_calls_again_calls_everybody(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            chunks.ring_many(conn, job_id, [0], rung_to=B, now=NOW)
            chunks.ring_many(conn, job_id, [0], now=LATER)
        row = chunk_row(database, job_id)
        assert (row.rung_to, row.rung_at) == (None, LATER)

    @pytest.mark.parametrize("end", [jobs.pause, jobs.cancel])
    def test_a_job_that_stands_still_calls_nobody(self, database: Database, end: object) -> None:
        with database.write() as conn:
            job_id = running(conn)
            chunks.ring_many(conn, job_id, [0], rung_to=B, now=NOW)
            assert callable(end)
            end(conn, job_id, now=NOW)
            assert chunks.ring_many(conn, job_id, [0], now=NOW) == 0
        row = chunk_row(database, job_id)
        assert (row.rung_at, row.rung_to) == (None, None)


def test_the_history_has_a_line_for_each(database: Database) -> None:
    with database.write() as conn:
        job_id = running(conn, *BORDERS)
        leases = batch(conn, job_id, *range(4))
        chunks.commit_many(conn, [(each, result()) for each in leases], now=MUCH_LATER)
        lines = [each for each in events.page(conn, job_id) if each.idx is not None]
    assert [(each.verb, each.idx) for each in lines] == [
        (verb, idx) for verb in ("claim", "commit") for idx in range(4)
    ]
    assert {(each.attempt, each.worker) for each in lines} == {(1, A)}
