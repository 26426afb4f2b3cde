"""What workers find to do, and what the scheduler sees of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, update

from millrace.db import tables
from millrace.db.session import Database
from millrace.lifecycle import chunks, jobs, queries
from millrace.types import ChunkKind, JobId, WorkerId
from tests.lifecycle.stage import (
    NOW,
    TTL,
    A,
    B,
    claimed,
    finalizing,
    planned,
    result,
    running,
    submitted,
)

Found = list[tuple[JobId, int]]


def of_pool(conn: Connection, pool: str, *borders: int, **changes: Any) -> JobId:
    job_id = submitted(conn, f"file:///{pool}", pool=pool, **changes)
    planned(conn, job_id, *borders)
    assert jobs.start(conn, job_id, now=NOW)
    return job_id


def next_for(conn: Connection, worker: WorkerId, now: float = NOW, **changes: Any) -> Found:
    asked: dict[str, Any] = {"pool": "default", "limit": 9, "affinity": 5.0} | changes
    return queries.next_rung(conn, worker=worker, now=now, **asked)


class TestNextRung:
    def test_the_first_call_and_others_of_its_job(self, database: Database) -> None:
        with database.write() as conn:
            one = running(conn, 1, 2, 3, output="file:///one")
            other = running(conn, 1, 2, output="file:///other")
            chunks.ring_many(conn, one, [2], now=NOW)
            chunks.ring_many(conn, other, [1], order=1, now=NOW)
            chunks.ring_many(conn, one, [0], order=2, now=NOW)
            assert next_for(conn, A) == [(one, 2), (one, 0)]
            assert next_for(conn, A, limit=1) == [(one, 2)]
            assert next_for(conn, A, job_id=other) == [(other, 1)]
            chunks.claim_many(conn, one, [2, 0], A, TTL, now=NOW)
            assert next_for(conn, B) == [(other, 1)]

    def test_nothing_that_nobody_called_to(self, database: Database) -> None:
        with database.write() as conn:
            running(conn, 1, 2)
            assert next_for(conn, A) == []

    def test_only_of_its_own_pool(self, database: Database) -> None:
        with database.write() as conn:
            job_id = of_pool(conn, "gpu", 1, 2)
            chunks.ring_many(conn, job_id, [0, 1], now=NOW)
            assert next_for(conn, A) == []
            assert next_for(conn, A, pool="gpu") == [(job_id, 0), (job_id, 1)]

    def test_a_hint_for_another_counts_for_a_while(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 1, 2, 3)
            chunks.ring_many(conn, job_id, [0, 1], rung_to=B, now=NOW)
            chunks.ring_many(conn, job_id, [2], order=2, now=NOW)
            assert next_for(conn, A) == [(job_id, 2)]
            assert next_for(conn, B) == [(job_id, 0), (job_id, 1), (job_id, 2)]
            assert next_for(conn, A, now=NOW + 6) == [(job_id, 0), (job_id, 1), (job_id, 2)]

    def test_not_before_its_time(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            lease = claimed(conn, job_id)
            chunks.release(conn, lease, infra=True, delay=30, reason="", now=NOW)
            chunks.ring_many(conn, job_id, [0], now=NOW)
            assert next_for(conn, A, now=NOW + 29) == []
            assert next_for(conn, A, now=NOW + 30) == [(job_id, 0)]

    def test_a_call_that_crossed_a_pause_leads_nowhere(self, database: Database) -> None:
        with database.write() as conn:
            jobs.pause(conn, running(conn), now=NOW)
            conn.execute(update(tables.chunk).values(rung_at=NOW))
            assert next_for(conn, A) == []

    def test_publishing_is_called_to_as_well(self, database: Database) -> None:
        with database.write() as conn:
            job_id = finalizing(conn)
            chunks.ring_many(conn, job_id, [1], now=NOW)
            assert next_for(conn, A) == [(job_id, 1)]

    def test_then_what_is_offered_by_others(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 1, 2)
            claimed(conn, job_id, 0, A)
            chunks.offer(conn, job_id, 0, now=NOW)
            assert next_for(conn, A) == []
            assert next_for(conn, B, pool="gpu") == []
            assert next_for(conn, B) == [(job_id, 0)]
            chunks.ring_many(conn, job_id, [1], now=NOW)
            assert next_for(conn, B) == [(job_id, 1)]
            claimed(conn, job_id, 1, B)
            claimed(conn, job_id, 0, B)
            assert next_for(conn, WorkerId("c")) == []


class TestDue:
    def test_of_one_pool(self, database: Database) -> None:
        with database.write() as conn:
            plain = running(conn, 1, output="file:///plain")
            gpu = of_pool(conn, "gpu", 1)
            assert queries.due(conn, limit=9, pool="gpu", now=NOW) == [(gpu, 0)]
            assert queries.due(conn, limit=9, pool="default", now=NOW) == [(plain, 0)]
            assert len(queries.due(conn, limit=9, now=NOW)) == 2

    def test_by_the_clock_of_the_database(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 1, 2)
            chunks.ring_many(conn, job_id, [0])
            assert queries.due(conn, limit=9, unrung_for=60) == [(job_id, 1)]
            assert len(queries.due(conn, limit=9, unrung_for=-60)) == 2


class TestBacklog:
    def test_what_is_left_of_each_job(self, database: Database) -> None:
        with database.write() as conn:
            urgent = submitted(conn, "file:///urgent", priority=9, deadline_seconds=60.0)
            planned(conn, urgent, 7)
            jobs.start(conn, urgent, now=NOW)
            job_id = running(conn, 10, 20, 40, 50, output="file:///plain")
            chunks.commit(conn, claimed(conn, job_id, 0), result(), now=NOW)
            claimed(conn, job_id, 1)
            of_pool(conn, "gpu", 1)
            first, second = queries.backlog(conn, "default", now=NOW)
        assert (first.job_id, first.priority, first.pending_weight) == (urgent, 9, 7)
        assert (first.expires_at, first.tenant) == (NOW + 60, "default")
        assert (second.job_id, second.pending_weight) == (job_id, 30)
        assert second.chunks_open == 3
        assert second.model_sha256 == "ab" * 32

    def test_only_jobs_that_somebody_can_begin_with(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 10)
            lease = claimed(conn, job_id)
            assert queries.backlog(conn, "default", now=NOW) == []
            chunks.release(conn, lease, infra=True, delay=30, reason="", now=NOW)
            assert queries.backlog(conn, "default", now=NOW) == []
            assert len(queries.backlog(conn, "default", now=NOW + 30)) == 1
            jobs.pause(conn, job_id, now=NOW)
            assert queries.backlog(conn, "default", now=NOW + 30) == []

    def test_publishing_weighs_nothing(self, database: Database) -> None:
        with database.write() as conn:
            finalizing(conn)
            (found,) = queries.backlog(conn, "default", now=NOW)
        assert (found.kind, found.pending_weight) == (ChunkKind.FINALIZE, 0)
        assert found.chunks_open == 1


def test_pools_with_something_to_do(database: Database) -> None:
    with database.write() as conn:
        assert queries.pools(conn) == []
        of_pool(conn, "gpu", 1)
        paused = of_pool(conn, "cpu", 1)
        running(conn, 1)
        jobs.pause(conn, paused, now=NOW)
        assert queries.pools(conn) == ["default", "gpu"]


def test_a_job_knows_its_pool_and_its_parent(database: Database) -> None:
    with database.write() as conn:
        parent = of_pool(conn, "gpu", 1)
        jobs.fail(conn, parent, "BROKEN", "broken", now=NOW)
        spec = queries.known_job(conn, parent).spec
        child = jobs.submit(conn, spec, parent_id=parent, now=NOW + 1)
        found = queries.known_job(conn, child)
        assert (found.pool, found.parent_id) == ("gpu", parent)
        jobs.fail(conn, child, "BROKEN", "broken", now=NOW)
        jobs.retry(conn, parent, spec.model_copy(update={"pool": "cpu"}), now=NOW)
        assert queries.known_job(conn, parent).pool == "cpu"
