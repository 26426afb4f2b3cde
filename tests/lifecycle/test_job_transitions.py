"""Every pair of verb and state: what the table allows happens, nothing else does."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from sqlalchemy import Connection

from millrace.db import tables
from millrace.db.session import Database
from millrace.errors import Conflict, MillraceError
from millrace.lifecycle import jobs
from millrace.lifecycle.guards import lock_job
from millrace.lifecycle.transitions import (
    CHUNK_MOVES,
    CHUNK_TERMINAL,
    CLAIMABLE,
    HONOURED,
    JOB_MOVES,
    JOB_TERMINAL,
    ChunkVerb,
    JobVerb,
)
from millrace.types import ChunkKind, ChunkState, Input, JobId, JobState, PlannedChunk, Span
from tests.lifecycle.stage import NOW, chunk_row, claimed, history, in_state, job_row, running

Verb = Callable[[Connection, JobId], object]


def _queue(conn: Connection, job_id: JobId) -> None:
    # Planning by hand, because pin() would refuse first in any other state.
    if lock_job(conn, job_id) is JobState.VALIDATING:
        jobs.pin(conn, job_id, [Input(0, "in", "jsonl", 1, "v", 0, 1, True)], "schema")
        jobs.add_chunks(conn, job_id, [PlannedChunk(Span(0, 1), 1)])
    jobs.queue(conn, job_id, now=NOW)


VERBS: dict[JobVerb, Verb] = {
    JobVerb.QUEUE: _queue,
    JobVerb.START: lambda conn, job_id: jobs.start(conn, job_id, now=NOW),
    JobVerb.PAUSE: lambda conn, job_id: jobs.pause(conn, job_id, now=NOW),
    JobVerb.RESUME: lambda conn, job_id: jobs.resume(conn, job_id, now=NOW),
    JobVerb.FAIL: lambda conn, job_id: jobs.fail(conn, job_id, "BROKEN", "broken", now=NOW),
    JobVerb.EXPIRE: lambda conn, job_id: jobs.expire(conn, job_id, now=NOW + 2),
    JobVerb.CANCEL: lambda conn, job_id: jobs.cancel(conn, job_id, now=NOW),
    JobVerb.CLOSE_CANCELLED: lambda conn, job_id: jobs.close_cancelled(conn, job_id, now=NOW),
    JobVerb.RETRY: lambda conn, job_id: jobs.retry(conn, job_id, now=NOW),
}
BY_LEASE = {JobVerb.PUBLISH, JobVerb.ABANDON, JobVerb.RECOMPUTE}
"""Walked in test_fencing, where their leases are."""


def test_every_verb_is_walked() -> None:
    assert set(VERBS) | BY_LEASE | {JobVerb.SUBMIT, JobVerb.FREEZE} == set(JobVerb)


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("verb", VERBS)
def test_each_pair(database: Database, verb: JobVerb, state: JobState) -> None:
    with database.write() as conn:
        job_id = in_state(conn, state)
    events_before = len(history(database, job_id))

    with contextlib.suppress(Conflict), database.write() as conn:
        VERBS[verb](conn, job_id)

    row, events = job_row(database, job_id), history(database, job_id)
    if state in JOB_MOVES[verb].sources:
        assert row.state in JOB_MOVES[verb].targets
        assert events[events_before:] == [(verb, state, row.state)]
        assert (row.finished_at is not None) == (row.state in JOB_TERMINAL)
    else:
        assert row.state == state
        assert len(events) == events_before


@pytest.mark.parametrize("state", JobState)
def test_freeze_from_each_state(database: Database, state: JobState) -> None:
    with database.write() as conn:
        job_id = in_state(conn, state)
        # Nothing is left to do, so that only the state can forbid it.
        conn.execute(tables.chunk.delete().where(tables.chunk.c.kind == ChunkKind.INFER))
    with database.write() as conn:
        frozen = jobs.freeze(conn, job_id, now=NOW)

    assert frozen == (state is JobState.RUNNING)
    expected = JobState.FINALIZING if state is JobState.RUNNING else state
    assert job_row(database, job_id).state == expected


def test_terminal_states_are_left_by_retry_alone_and_successes_never() -> None:
    leaving = {
        (verb, source) for verb, move in JOB_MOVES.items() for source in move.sources & JOB_TERMINAL
    }
    assert leaving == {
        (JobVerb.RETRY, JobState.FAILED),
        (JobVerb.RETRY, JobState.EXPIRED),
        (JobVerb.RETRY, JobState.CANCELLED),
    }
    assert set(tables.TERMINAL_JOBS) == JOB_TERMINAL


def test_the_end_of_a_chunk_is_final_but_for_a_new_run() -> None:
    for verb, move in CHUNK_MOVES.items():
        assert verb is ChunkVerb.RETRY or not move.sources & CHUNK_TERMINAL
    reachable = {target for move in CHUNK_MOVES.values() for target in move.targets}
    assert reachable == set(ChunkState)


def test_every_state_but_the_first_is_reached() -> None:
    assert {target for move in JOB_MOVES.values() for target in move.targets} == set(JobState)


def test_what_may_be_claimed_is_honoured() -> None:
    for state, kind in CLAIMABLE.items():
        assert state in HONOURED[kind]


def test_cancel_of_a_job_that_is_published_is_told_so(database: Database) -> None:
    with database.write() as conn:
        job_id = in_state(conn, JobState.FINALIZING)
    with pytest.raises(Conflict) as refusal, database.write() as conn:
        jobs.cancel(conn, job_id, now=NOW)
    assert refusal.value.code == "ALREADY_PUBLISHING"


@pytest.mark.parametrize("state", sorted(JOB_TERMINAL | {JobState.CANCELLING}))
def test_cancel_of_an_ended_job_answers_with_its_state(database: Database, state: JobState) -> None:
    with database.write() as conn:
        job_id = in_state(conn, state)
        assert jobs.cancel(conn, job_id, now=NOW) is state


def test_a_cancelled_job_closes_once_nobody_holds_a_chunk(database: Database) -> None:
    with database.write() as conn:
        job_id = running(conn)
        claimed(conn, job_id)
        jobs.cancel(conn, job_id, now=NOW)
        assert not jobs.close_cancelled(conn, job_id, now=NOW)
    assert job_row(database, job_id).state == "cancelling"
    assert chunk_row(database, job_id).state == "leased"


def test_nothing_expires_before_its_deadline(database: Database) -> None:
    with database.write() as conn:
        job_id = in_state(conn, JobState.RUNNING)
        assert not jobs.expire(conn, job_id, now=NOW + 0.5)
        eternal = running(conn, output="file:///elsewhere")
        assert not jobs.expire(conn, eternal, now=NOW + 1e9)


@pytest.mark.parametrize("verb", VERBS)
def test_an_unknown_job_is_not_found(database: Database, verb: JobVerb) -> None:
    with pytest.raises(MillraceError) as refusal, database.write() as conn:
        VERBS[verb](conn, JobId("nobody"))
    assert refusal.value.code == "JOB_NOT_FOUND"
