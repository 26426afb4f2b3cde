"""The job that retries the error rows of a published one, on both databases."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import Connection

from millrace.db.session import Database
from millrace.errors import Conflict
from millrace.lifecycle import chunks, jobs, kept, queries
from millrace.lifecycle.retry import Bury, Retry, Split
from millrace.types import JobId, JobState, Kept, Part, PlannedChunk, Reading, Span
from tests.lifecycle.at_once import THREADS, at_once
from tests.lifecycle.stage import (
    LATER,
    NOW,
    A,
    chunk_row,
    claimed,
    in_state,
    job_row,
    pinned,
    spec,
    submitted,
)

FOLDER = "file:///out-retry-1"
PART = Part("parts/0.jsonl", 8, 100, "cd" * 32)
KEPT = Kept(
    "file:///out", PART, Span(0, 10), (5, 2, 3), (Reading(0, 10, 0, 10),), ({"engine": "echo"},)
)


def keeping(conn: Connection, *keeps: Kept | None) -> JobId:
    """A running job of chunks of ten positions that keep these."""
    job_id = submitted(conn, "file:///other")
    jobs.pin(conn, job_id, pinned(10 * len(keeps)), "schema")
    spans = (Span(10 * at, 10 * at + 10) for at in range(len(keeps)))
    planned = (PlannedChunk(span, 10, each) for span, each in zip(spans, keeps, strict=True))
    jobs.add_chunks(conn, job_id, planned)
    jobs.queue(conn, job_id, now=NOW)
    assert jobs.start(conn, job_id, now=NOW)
    return job_id


def test_it_asks_for_the_same_elsewhere(database: Database) -> None:
    with database.write() as conn:
        parent = in_state(conn, JobState.PARTIAL)
        child = jobs.retry_rows(conn, parent, FOLDER, now=LATER)
        found, published = queries.known_job(conn, child), queries.known_job(conn, parent)
    assert (found.parent_id, found.state) == (parent, JobState.VALIDATING)
    assert found.spec == published.spec.model_copy(update={"output": FOLDER})
    assert (found.output_uri, found.tenant) == (FOLDER, published.tenant)
    assert (published.state, published.output_uri) == (JobState.PARTIAL, "file:///out")


@pytest.mark.parametrize("state", [each for each in JobState if each != JobState.PARTIAL])
def test_only_a_partial_job_has_rows_to_retry(database: Database, state: JobState) -> None:
    with database.write() as conn:
        job_id = in_state(conn, state)
    with pytest.raises(Conflict) as refusal, database.write() as conn:
        jobs.retry_rows(conn, job_id, FOLDER, now=LATER)
    assert refusal.value.code == "STATE_FORBIDS"
    assert state in refusal.value.message
    assert refusal.value.hint


def test_a_plain_retry_tells_the_way(database: Database) -> None:
    with database.write() as conn:
        job_id = in_state(conn, JobState.PARTIAL)
    with pytest.raises(Conflict) as refusal, database.write() as conn:
        jobs.retry(conn, job_id, now=LATER)
    assert "--errors" in refusal.value.hint


def test_it_is_one_job_while_it_is_alive(database: Database) -> None:
    with database.write() as conn:
        parent = in_state(conn, JobState.PARTIAL)
        child = jobs.retry_rows(conn, parent, FOLDER, now=LATER)
        assert jobs.retry_rows(conn, parent, FOLDER, now=LATER) == child
    with pytest.raises(Conflict) as refusal, database.write() as conn:
        jobs.retry_rows(conn, parent, "file:///elsewhere", now=LATER)
    assert refusal.value.code == "ALREADY_RETRIED"
    assert child in refusal.value.message
    with database.write() as conn:
        assert jobs.fail(conn, child, "TEST", "an end", now=LATER)
        assert jobs.retry_rows(conn, parent, "file:///elsewhere", now=LATER) != child


def test_it_is_one_job_however_many_ask_at_once(database: Database) -> None:
    with database.write() as conn:
        parent = in_state(conn, JobState.PARTIAL)
    ask = partial(database.transact, lambda conn: jobs.retry_rows(conn, parent, FOLDER))
    with at_once() as run:
        assert len({*run([ask] * THREADS)}) == 1


def test_results_that_were_given_up_cannot_be_kept(database: Database) -> None:
    with database.write() as conn:
        parent = in_state(conn, JobState.PARTIAL)
        jobs.supersede(conn, parent, now=NOW)
    with pytest.raises(Conflict, match="RESULTS_GONE"), database.write() as conn:
        jobs.retry_rows(conn, parent, FOLDER, now=LATER)


def test_its_output_belongs_to_nobody_else(database: Database) -> None:
    with database.write() as conn:
        parent = in_state(conn, JobState.PARTIAL)
        jobs.submit(conn, spec(FOLDER), now=NOW)
    with pytest.raises(Conflict, match="OUTPUT_OWNED"), database.write() as conn:
        jobs.retry_rows(conn, parent, FOLDER, now=LATER)


def test_what_is_kept_is_written_with_the_plan_and_read_as_it_was(database: Database) -> None:
    with database.write() as conn:
        job_id = keeping(conn, KEPT, None, replace(KEPT, span=Span(20, 30)))
        found = kept.of_chunks(conn, job_id, [0, 1, 2])
        assert found == {0: KEPT, 2: replace(KEPT, span=Span(20, 30))}
        assert kept.of_chunks(conn, job_id, [1]) == {}
    assert chunk_row(database, job_id, 1).kept is None
    assert job_row(database, job_id).chunks_planned == 3


def test_the_pieces_of_a_chunk_share_what_it_keeps(database: Database) -> None:
    with database.write() as conn:
        job_id = keeping(conn, KEPT)
        for now in (NOW, LATER):
            lease = claimed(conn, job_id, now=now)
            verdict = chunks.crash(conn, lease, [5], "killed", now=0.0)
        assert isinstance(verdict, Split)
        assert kept.of_chunks(conn, job_id, [1, 2, 3]) == dict.fromkeys((1, 2, 3), KEPT)


def test_no_kept_row_is_buried_without_proof(database: Database) -> None:
    with database.write() as conn:
        job_id = keeping(conn, KEPT)
        for at in range(5):
            lease = claimed(conn, job_id, now=NOW + at)
            assert chunks.crash(conn, lease, [], "killed", now=0.0) == Retry()
    row = chunk_row(database, job_id)
    assert (row.state, row.crash_count) == ("pending", 5)


def test_a_missing_row_that_kills_is_buried(database: Database) -> None:
    with database.write() as conn:
        job_id = keeping(conn, KEPT)
        verdicts = []
        for idx in (0, 0, 2, 2):
            lease = claimed(conn, job_id, idx, A)
            verdicts.append(chunks.crash(conn, lease, [5], "killed", now=0.0))
    assert [type(each) for each in verdicts] == [Retry, Split, Retry, Bury]
    assert chunk_row(database, job_id, 2).rows_err == 1
