"""What the history tells of a job that does not get on."""

from __future__ import annotations

import pytest

from millrace.db.session import Database
from millrace.front.summary import summary_of
from millrace.lifecycle import chunks, events, jobs
from tests.lifecycle.stage import LATER, NOW, A, claimed, result, running


def test_a_fault_of_the_surroundings_is_what_a_job_waits_for(database: Database) -> None:
    with database.write() as conn:
        job_id = running(conn)
        assert events.setback(conn, job_id) is None
        lease = claimed(conn, job_id)
        chunks.release(conn, lease, infra=True, delay=0, reason="the disk is full", now=NOW)
        chunks.release(
            conn, claimed(conn, job_id), infra=False, delay=0, reason="going away", now=NOW
        )
    assert summary_of(database, job_id)["last_setback"] == "the disk is full"
    with database.write() as conn:
        jobs.pause(conn, job_id, now=NOW)
    assert summary_of(database, job_id)["last_setback"] is None


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("crash", "killed by signal 9"),
        ("reap", "the worker fell silent"),
        ("disown", "its worker died"),
        ("refuse", "MODEL_LOAD_FAILED: no weights"),
    ],
)
def test_so_is_a_crash_in_any_form(database: Database, how: str, told: str) -> None:
    with database.write() as conn:
        job_id = running(conn)
        lease = claimed(conn, job_id)
        match how:
            case "crash":
                chunks.crash(conn, lease, [], told, now=NOW)
            case "reap":
                chunks.reap(conn, 10, now=LATER)
            case "disown":
                chunks.release_owned(conn, A, now=NOW)
            case _:
                chunks.refuse_model(conn, lease, "MODEL_LOAD_FAILED", "no weights", now=NOW)
    assert summary_of(database, job_id)["last_setback"] == told


def test_a_commit_ends_the_wait(database: Database) -> None:
    with database.write() as conn:
        job_id = running(conn, 5, 10)
        chunks.crash(conn, claimed(conn, job_id), [], "it died", now=NOW)
        chunks.commit(conn, claimed(conn, job_id, 1), result(5), now=NOW)
    assert summary_of(database, job_id)["last_setback"] is None
