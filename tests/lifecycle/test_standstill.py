"""What people are told of a job that does not move, and what the scheduler sees of slow chunks."""

from __future__ import annotations

from sqlalchemy import Connection

from millrace.db.session import Database
from millrace.lifecycle import chunks, jobs, queries, workers
from millrace.types import JobId, WorkerId
from tests.lifecycle.stage import (
    LATER,
    NOW,
    A,
    B,
    claimed,
    finalizing,
    planned,
    result,
    running,
    submitted,
)


def told(conn: Connection, job_id: JobId, now: float = NOW) -> str:
    return queries.waiting(conn, job_id, now=now)


class TestWaiting:
    def test_for_the_scheduler_or_a_person(self, database: Database) -> None:
        with database.write() as conn:
            job_id = submitted(conn)
            assert told(conn, job_id) == "it is being planned"
            planned(conn, job_id, 10)
            assert told(conn, job_id) == "a scheduler has to start it"
            jobs.start(conn, job_id, now=NOW)
            jobs.pause(conn, job_id, now=NOW)
            assert told(conn, job_id) == f"it is paused: millrace jobs resume {job_id}"

    def test_for_workers(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn)
            workers.register(conn, B, "host", 1, pool="gpu", now=NOW)
            nobody = "no worker of pool 'default' is alive: millrace worker --pool default"
            assert told(conn, job_id) == nobody
            workers.register(conn, A, "host", 2, now=NOW)
            assert told(conn, job_id) == "a worker of pool 'default' has to begin"
            assert told(conn, job_id, NOW + 61) == nobody
            workers.seen(conn, A, draining=True, now=NOW)
            assert told(conn, job_id) == nobody

    def test_behind_others(self, database: Database) -> None:
        with database.write() as conn:
            workers.register(conn, A, "host", 1, now=NOW)
            first = running(conn, 1, 2, output="file:///first")
            job_id = running(conn, output="file:///second")
            claimed(conn, first, 0)
            busy = "the workers of pool 'default' are busy with another job"
            assert told(conn, job_id) == busy
            claimed(conn, running(conn, output="file:///third"))
            assert told(conn, job_id) == busy.replace("another job", "2 other jobs")

    def test_after_failures(self, database: Database) -> None:
        with database.write() as conn:
            workers.register(conn, A, "host", 1, now=NOW)
            job_id = running(conn)
            lease = claimed(conn, job_id)
            chunks.release(conn, lease, infra=True, delay=30, reason="disk", now=NOW)
            assert told(conn, job_id) == "after failures its chunks are tried again in 30 s"

    def test_for_nothing_where_it_moves_or_has_ended(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 5, 10)
            claimed(conn, job_id)
            assert told(conn, job_id) == ""
            assert told(conn, JobId("nobody")) == ""

    def test_for_somebody_to_publish(self, database: Database) -> None:
        with database.write() as conn:
            workers.register(conn, A, "host", 1, now=NOW)
            job_id = finalizing(conn)
            assert told(conn, job_id) == "a worker of pool 'default' has to begin"
            jobs.publish(conn, claimed(conn, job_id, 1), "00" * 32, now=NOW)
            assert told(conn, job_id) == ""


class TestStragglers:
    def test_who_holds_what_for_how_long(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 10, 30, 40)
            claimed(conn, job_id, 1, B, now=NOW + 5)
            claimed(conn, job_id, 0, A)
            chunks.offer(conn, job_id, 0, now=NOW + 9)
            claimed(conn, job_id, 0, B, now=NOW + 9)
            slow, other = queries.leases(conn, job_id, now=NOW + 10)
        assert (slow.idx, slow.owner, slow.held_seconds, slow.weight) == (0, A, 10.0, 10)
        assert (slow.twinned, slow.offered) == (True, True)
        assert (other.idx, other.owner, other.held_seconds, other.weight) == (1, B, 5.0, 20)
        assert (other.twinned, other.offered) == (False, False)

    def test_how_long_the_last_ones_took(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 1, 2, 3, 4)
            for idx in range(4):
                lease = claimed(conn, job_id, idx)
                chunks.commit(conn, lease, result(1), now=NOW + 10 * (idx + 1))
            assert queries.pace(conn, job_id) == [40.0, 30.0, 20.0, 10.0]
            assert queries.pace(conn, job_id, sample=2) == [40.0, 30.0]

    def test_what_runs_again_is_no_measure(self, database: Database) -> None:
        with database.write() as conn:
            job_id = running(conn, 1, 2)
            chunks.commit(conn, claimed(conn, job_id), result(0, 1), now=LATER)
            jobs.fail(conn, job_id, "BROKEN", "broken", now=LATER)
            jobs.retry(conn, job_id, errors=True, now=LATER)
            assert queries.pace(conn, job_id) == []


def test_the_roster(database: Database) -> None:
    gone = WorkerId("gone")
    with database.write() as conn:
        workers.register(conn, B, "host", 2, now=NOW + 1)
        workers.register(conn, A, "host", 1, pool="gpu", device="cuda:0", version="1.2", now=NOW)
        workers.register(conn, gone, "host", 3, now=NOW)
        workers.leave(conn, gone, now=NOW)
        assert workers.seen(conn, A, ["ab" * 32], draining=True, now=NOW + 30)
        first, second = queries.workers(conn, now=NOW + 40)
        assert queries.workers(conn, seen_within=20, now=NOW + 40) == [first]
    assert (first.id, first.pool, first.device, first.version) == (A, "gpu", "cuda:0", "1.2")
    assert (first.models, first.draining, first.silent_seconds) == (("ab" * 32,), True, 10.0)
    assert (second.id, second.pool, second.models, second.draining) == (B, "default", (), False)
