"""Crashes, silence and dead workers: counted, narrowed down, and in the end one error record."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection, select

from millrace.db import tables
from millrace.db.session import Database
from millrace.lifecycle import chunks, events, jobs, queries
from millrace.lifecycle.crashes import LOSSES_BEFORE_CRASH, LOSSES_UNBEGUN
from millrace.lifecycle.retry import Bury, Retry, Split
from millrace.types import ChunkState, JobId, JobState, Lease, Reading, Span
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


def crash(database: Database, job_id: JobId, idx: int, *suspects: int) -> Retry | Split | Bury:
    """Let one attempt at a chunk crash; time has always come for the next one."""
    with database.write() as conn:
        lease = claimed(conn, job_id, idx, now=MUCH_LATER)
        return chunks.crash(conn, lease, suspects, "signal 9", now=NOW)


def tiles(database: Database, job_id: JobId) -> list[tuple[int, int]]:
    chunk = tables.chunk.c
    with database.read() as conn:
        found = conn.execute(
            select(chunk.start_pos, chunk.end_pos)
            .where(chunk.job_id == job_id, chunk.state != ChunkState.SPLIT)
            .order_by(chunk.start_pos)
        )
        return [(row.start_pos, row.end_pos) for row in found]


class TestCrash:
    def test_one_crash_is_bad_luck(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
        assert crash(database, job_id, 0, 3, 4) == Retry()
        row = chunk_row(database, job_id)
        assert (row.state, row.crash_count, row.suspects) == ("pending", 1, [3, 4])
        with database.write() as conn:
            lease = claimed(conn, job_id, now=MUCH_LATER)
        assert (lease.crash_count, lease.suspects) == (1, (3, 4))

    def test_there_is_a_wait_between_attempts(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
        crash(database, job_id, 0)
        assert NOW <= chunk_row(database, job_id).not_before <= NOW + 2

    def test_the_second_one_splits_at_the_suspect(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
        crash(database, job_id, 0, 6)
        assert crash(database, job_id, 0, 6) == Split((Span(0, 6), Span(6, 7), Span(7, 10)))
        assert tiles(database, job_id) == [(0, 6), (6, 7), (7, 10)]
        parent, child = chunk_row(database, job_id, 0), chunk_row(database, job_id, 2)
        assert (parent.state, child.parent_idx, child.crash_count) == ("split", 0, 0)
        assert history(database, job_id, 0)[-1] == ("crash", "leased", "split")

    def test_children_inherit_suspects_and_weight(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 3, 10)
        crash(database, job_id, 1, 4, 6, 8)
        crash(database, job_id, 1, 4, 6, 8)
        children = [chunk_row(database, job_id, idx) for idx in range(2, 6)]
        assert [row.suspects for row in children] == [None, [4], [6, 8], None]
        assert sum(row.weight for row in children) == 7
        with database.read() as conn:
            assert queries.progress(conn, job_id).weight_total == 10

    def test_a_row_that_crashes_twice_alone_is_buried(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 1)
        assert crash(database, job_id, 0, 0) == Retry()
        assert crash(database, job_id, 0, 0) == Bury()
        with database.read() as conn:
            (settled,) = queries.settled_chunks(conn, job_id)
            assert queries.progress(conn, job_id).rows_err == 1
        assert (settled.state, settled.rows_ok, settled.rows_err) == (ChunkState.DEAD, 0, 1)
        assert (settled.error_code, settled.readings) == ("WORKER_CRASHED", (Reading(0, 1, 0),))
        assert "signal 9" in (settled.error_message or "")

    def test_publishing_is_tried_for_ever(self, database: Database) -> None:
        with database.write() as conn:
            job_id = finalizing(conn)
        for _ in range(5):
            assert crash(database, job_id, 1) == Retry()
        assert chunk_row(database, job_id, 1).state == "pending"

    def test_a_crash_after_the_end_of_the_job_is_no_crash(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 1)
            lease = claimed(conn, job_id)
            jobs.cancel(conn, job_id, now=NOW)
            chunks.crash(conn, lease, (), "killed", now=NOW)
            assert jobs.close_cancelled(conn, job_id, now=NOW)
        row = chunk_row(database, job_id)
        assert (row.state, row.crash_count) == ("pending", 0)

    def test_k_deadly_rows_become_k_error_records(self, database: Database) -> None:
        """Whatever the crash tells of its suspects, each innocent row is computed (I1, I14)."""
        deadly = {3, 17, 18, 40}
        with database.write() as conn:
            job_id = running(conn, 25, 50)
        crashes = work_through(database, job_id, deadly)
        with database.read() as conn:
            settled = list(queries.settled_chunks(conn, job_id))
        dead = {chunk.span.start for chunk in settled if chunk.state is ChunkState.DEAD}
        assert dead == deadly
        assert sum(chunk.rows_ok for chunk in settled) == 46
        assert [chunk.span.start for chunk in settled][1:] == [c.span.end for c in settled][:-1]
        assert crashes <= len(deadly) * 8


def work_through(database: Database, job_id: JobId, deadly: set[int]) -> int:
    """Work as a worker does: dies on a deadly row, suspects last; returns the crashes."""
    crashes = 0
    while True:
        with database.write() as conn:
            due = queries.due(conn, limit=1, now=MUCH_LATER)
            if not due:
                return crashes
            lease = claimed(conn, *due[0], now=MUCH_LATER)
            killers = sorted(deadly & set(range(lease.span.start, lease.span.end)))
            if killers:
                crashes += 1
                chunks.crash(conn, lease, in_flight(lease, killers), "signal 9", now=NOW)
            else:
                chunks.commit(conn, lease, result(lease.span.length), now=NOW)


def in_flight(lease: Lease, killers: list[int]) -> list[int]:
    first = next((each for each in killers if each not in lease.suspects), None)
    if first is None:
        return [killers[0]]
    return [each for each in range(first - 2, first + 3) if each in range(*_ends(lease.span))]


def _ends(span: Span) -> tuple[int, int]:
    return span.start, span.end


def begun(conn: Connection, job_id: JobId, idx: int = 0, *, now: float) -> None:
    """Claimed, and its first row is in flight."""
    lease = claimed(conn, job_id, idx, now=now)
    chunks.renew(conn, lease, TTL, 0, [lease.span.start], now=now)


class TestReap:
    def test_silence_counts_as_a_crash(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            lease = claimed(conn, job_id)
            chunks.renew(conn, lease, TTL, 2, [6, 7], now=NOW)
            assert chunks.reap(conn, 10, now=LATER) == [(job_id, 0)]
        row = chunk_row(database, job_id)
        assert (row.state, row.crash_count, row.suspects) == ("pending", 1, [6, 7])
        assert history(database, job_id, 0)[-1] == ("reap", "leased", "pending")

    def test_a_live_lease_stays(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            claimed(conn, job_id)
            assert chunks.reap(conn, 10, now=NOW + TTL) == []
        assert chunk_row(database, job_id).state == "leased"

    def test_it_splits_and_buries_too(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 1, 3)
            for at in (NOW, NOW + 1_000):
                for idx in range(2):
                    begun(conn, job_id, idx, now=at)
                assert chunks.reap(conn, 10, now=at + TTL + 1) == [(job_id, 0), (job_id, 1)]
        assert chunk_row(database, job_id, 0).state == "dead"
        assert chunk_row(database, job_id, 1).state == "split"
        assert tiles(database, job_id) == [(0, 1), (1, 2), (2, 3)]

    def test_a_row_that_nobody_began_is_not_blamed(self, database: Database) -> None:
        """Outages take what waits in a batch from one worker after another."""
        with database.write() as conn:
            job_id = running(conn, 1)
            for number in range(LOSSES_UNBEGUN):
                claimed(conn, job_id, now=NOW + 1_000 * number)
                chunks.reap(conn, 10, now=NOW + 1_000 * number + TTL + 1)
        row = chunk_row(database, job_id)
        assert (row.state, row.crash_count) == ("pending", 0)
        with database.write() as conn:
            claimed(conn, job_id, now=NOW + 1e6)
            chunks.reap(conn, 10, now=NOW + 2e6)
        assert chunk_row(database, job_id).crash_count == 1

    def test_it_takes_a_few_at_a_time(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 1, 2, 3)
            for idx in range(3):
                claimed(conn, job_id, idx)
            assert chunks.reap(conn, 2, now=LATER) == [(job_id, 0), (job_id, 1)]
            assert chunks.reap(conn, 2, now=LATER) == [(job_id, 2)]

    @pytest.mark.parametrize("state", [JobState.CANCELLING, JobState.FAILED, JobState.EXPIRED])
    def test_chunks_of_ended_jobs_are_put_back(self, database: Database, state: JobState) -> None:
        with database.write() as conn:
            job_id = in_state(conn, JobState.RUNNING)
            claimed(conn, job_id)
            if state is JobState.CANCELLING:
                jobs.cancel(conn, job_id, now=NOW)
            elif state is JobState.FAILED:
                jobs.fail(conn, job_id, "BROKEN", "broken", now=NOW)
            else:
                jobs.expire(conn, job_id, now=NOW + 1)
            assert chunks.reap(conn, 10, now=LATER) == [(job_id, 0)]
        row = chunk_row(database, job_id)
        assert (row.state, row.crash_count) == ("pending", 0)
        assert job_row(database, job_id).state == state


class TestDeadWorkers:
    def test_only_their_own_chunks_come_back(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 1, 2)
            claimed(conn, job_id, 0, A)
            claimed(conn, job_id, 1, B)
            assert chunks.release_owned(conn, A, now=NOW) == [(job_id, 0)]
        mine, other = chunk_row(database, job_id, 0), chunk_row(database, job_id, 1)
        assert (mine.state, mine.crash_count, mine.lost_count) == ("pending", 0, 1)
        assert (other.state, other.owner) == ("leased", B)

    def test_what_kills_worker_after_worker_is_a_crash_in_the_end(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            for _ in range(LOSSES_BEFORE_CRASH):
                begun(conn, job_id, now=MUCH_LATER)
                chunks.release_owned(conn, A, now=NOW)
        assert chunk_row(database, job_id).crash_count == 0
        with database.write() as conn:
            begun(conn, job_id, now=MUCH_LATER)
            assert chunks.release_owned(conn, A, now=NOW) == [(job_id, 0)]
        assert chunk_row(database, job_id).crash_count == 1

    def test_a_whole_crew_that_died_at_once_is_nobodys_crash(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 1, 2)
            other = running(conn, output="file:///elsewhere")
            claimed(conn, other)
            for _ in range(2 * LOSSES_BEFORE_CRASH):
                claimed(conn, job_id, 0, A, now=MUCH_LATER)
                claimed(conn, job_id, 1, B, now=MUCH_LATER)
                assert chunks.release_job(conn, job_id, now=NOW) == [(job_id, 0), (job_id, 1)]
        assert chunk_row(database, job_id).crash_count == 0
        assert chunk_row(database, other).state == "leased"


def test_the_history_tells_every_attempt(database: Database) -> None:
    with database.write() as conn:
        job_id = running(conn)
    crash(database, job_id, 0, 6)
    crash(database, job_id, 0, 6)
    with database.read() as conn:
        told = [each for each in events.page(conn, job_id) if each.idx == 0]
        first_two = events.page(conn, job_id, limit=2)
        rest = events.page(conn, job_id, after=first_two[-1].id)
    assert [(each.verb, each.attempt, each.worker) for each in told] == [
        ("claim", 1, A),
        ("crash", 1, A),
        ("claim", 2, A),
        ("crash", 2, A),
    ]
    assert told[-1].detail == {"detail": "signal 9", "children": [1, 2, 3]}
    assert first_two[-1].id < rest[0].id
