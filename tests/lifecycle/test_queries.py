"""Answers about jobs: what is due, how far it is, what was read."""

from __future__ import annotations

from sqlalchemy import Connection

from millrace.db.session import Database
from millrace.lifecycle import chunks, jobs, queries, workers
from millrace.types import ChunkState, Input, JobId, JobState, PlannedChunk, Span
from tests.lifecycle.stage import (
    LATER,
    NOW,
    TTL,
    A,
    claimed,
    finalizing,
    in_state,
    planned,
    result,
    running,
    spec,
    submitted,
)


def test_what_is_due_comes_by_urgency_and_place(database: Database) -> None:
    with database.write() as conn:
        plain = running(conn, 5, 10, output="file:///plain")
        urgent = submitted(conn, "file:///urgent", priority=9)
        planned(conn, urgent, 10)
        jobs.start(conn, urgent, now=NOW)
        ready = finalizing(conn, output="file:///ready")
        assert queries.due(conn, limit=9, now=NOW) == [
            (urgent, 0),
            *sorted([(plain, 0), (plain, 1), (ready, 1)]),
        ]
        assert queries.due(conn, limit=1, now=NOW) == [(urgent, 0)]
        assert queries.due(conn, limit=9, job_id=ready, now=NOW) == [(ready, 1)]


def test_what_waits_leased_or_stands_still_is_not_due(database: Database) -> None:
    with database.write() as conn:
        job_id = running(conn, 5, 10)
        lease = claimed(conn, job_id, 0)
        chunks.release(conn, lease, infra=True, delay=30, reason="", now=NOW)
        claimed(conn, job_id, 1)
        assert queries.due(conn, limit=9, now=NOW + 29) == []
        assert queries.due(conn, limit=9, now=NOW + 30) == [(job_id, 0)]
        jobs.pause(conn, job_id, now=NOW)
        assert queries.due(conn, limit=9, now=NOW + 30) == []


def test_everything_that_is_due_can_be_claimed(database: Database) -> None:
    for state in JobState:
        with database.write() as conn:
            job_id = in_state(conn, state)
            for found, idx in queries.due(conn, limit=9, job_id=job_id, now=NOW):
                assert chunks.claim(conn, found, idx, A, TTL, now=NOW) is not None
            if state.value in ("succeeded", "partial"):
                jobs.supersede(conn, job_id, now=NOW)
            else:
                free_output(conn, job_id)


def free_output(conn: Connection, job_id: JobId) -> None:
    """End the job, whatever its state, so that the next one may have the output."""
    if jobs.fail(conn, job_id, "OVER", "over", now=NOW):
        return
    job = queries.job(conn, job_id)
    assert job is not None
    if job.state is JobState.CANCELLING:
        jobs.close_cancelled(conn, job_id, now=NOW)
    elif job.state is JobState.FINALIZING:
        chunks.release_job(conn, job_id, now=NOW)
        jobs.abandon(conn, claimed(conn, job_id, 1), "OVER", "over", now=NOW)


def test_progress_adds_up_at_every_moment(database: Database) -> None:
    with database.write() as conn:
        job_id = running(conn, 4, 10)
        first = claimed(conn, job_id, 0)
        chunks.renew(conn, first, TTL, 3, [3], now=NOW)
        under_way = queries.progress(conn, job_id)
        chunks.commit(conn, first, result(3, 1), now=NOW)
        done = queries.progress(conn, job_id)
    assert (under_way.rows_in_flight, under_way.weight_done, under_way.weight_total) == (3, 0, 10)
    assert (done.rows_ok, done.rows_err, done.rows_in_flight) == (3, 1, 0)
    assert (done.weight_done, done.weight_total) == (4, 10)
    assert done.chunks == {
        ChunkState.PENDING: 1,
        ChunkState.LEASED: 0,
        ChunkState.COMMITTED: 1,
        ChunkState.SPLIT: 0,
        ChunkState.DEAD: 0,
    }


def test_publishing_is_no_progress(database: Database) -> None:
    with database.write() as conn:
        job_id = finalizing(conn)
        progress = queries.progress(conn, job_id)
    assert (progress.weight_done, progress.weight_total) == (10, 10)
    assert sum(progress.chunks.values()) == 1


def test_inputs_of_a_span(database: Database) -> None:
    files = [
        Input(0, "a", "jsonl", 10, "v", 0, 10, True),
        Input(1, "empty", "jsonl", 0, "v", 10, 0, True),
        Input(2, "b", "parquet", 99, "v", 10, 1 << 40, False),
    ]
    with database.write() as conn:
        job_id = submitted(conn)
        jobs.pin(conn, job_id, files, "")
        whole = PlannedChunk(Span(0, 10 + (1 << 40)), 109)
        jobs.add_chunks(conn, job_id, [whole])
        jobs.queue(conn, job_id, now=NOW)
        assert queries.inputs(conn, job_id) == tuple(files)
        assert queries.inputs(conn, job_id, Span(0, 10)) == (files[0],)
        assert queries.inputs(conn, job_id, Span(9, 11)) == (files[0], files[2])
        assert queries.inputs(conn, job_id, Span(10, 11)) == (files[2],)


def test_jobs_come_newest_first_in_pages(database: Database) -> None:
    with database.write() as conn:
        ids = [jobs.submit(conn, spec(f"file:///{i}"), now=NOW + i) for i in range(5)]
        first = queries.jobs(conn, limit=3)
        second = queries.jobs(conn, limit=3, after=first[-1].id)
    assert [each.id for each in (*first, *second)] == ids[::-1]


def test_the_newest_job_of_an_output(database: Database) -> None:
    with database.write() as conn:
        old = submitted(conn)
        jobs.fail(conn, old, "BROKEN", "broken", now=NOW)
        new = jobs.submit(conn, spec(), now=LATER)
        found = queries.newest_for_output(conn, "file:///out")
        assert queries.newest_for_output(conn, "file:///nowhere") is None
        assert queries.job(conn, JobId("nobody")) is None
    assert found is not None
    assert found.id == new
    assert [each.id for each in queries_in(database, JobState.FAILED)] == [old]


def queries_in(database: Database, *states: JobState) -> list[queries.JobView]:
    with database.read() as conn:
        return queries.jobs_in(conn, states)


def test_workers_come_are_seen_and_go(database: Database) -> None:
    with database.write() as conn:
        workers.register(conn, A, "host", 42, now=NOW)
        assert workers.seen(conn, A, now=NOW + 5)
        assert workers.leave(conn, A, now=NOW + 6)
        assert not workers.leave(conn, A, now=NOW + 7)
        assert not workers.seen(conn, A, now=NOW + 8)
