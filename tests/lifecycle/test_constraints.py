"""The database itself refuses rows that cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError

from millrace.db import tables
from millrace.db.session import Database
from millrace.types import ChunkKind, ChunkState, JobState
from tests.lifecycle.stage import NOW, running

BAD_JOBS: dict[str, dict[str, Any]] = {
    "unknown state": {"state": "asleep"},
    "finished without a time": {"state": "failed"},
    "a time without an end": {"finished_at": NOW},
    "success without a manifest": {"state": "succeeded", "finished_at": NOW},
    "a manifest without success": {"manifest_sha256": "00"},
    "running without a plan": {"plan_complete": False},
    "half a reason": {"reason_code": "X"},
    "priority": {"priority": 10},
}
HELD: dict[str, Any] = {"state": "leased", "token": "u", "owner": "a", "lease_until": NOW}
BAD_CHUNKS: dict[str, dict[str, Any]] = {
    "unknown state": {"state": "asleep"},
    "unknown kind": {"kind": "train"},
    "empty span": {"end_pos": 0},
    "leased without a token": {"state": "leased", "lease_until": NOW, "owner": "a"},
    "leased without an end": {"state": "leased", "token": "t", "owner": "a"},
    "a token without a lease": {"token": "t", "owner": "a"},
    "committed without counts": {
        "state": "committed",
        "token": "t",
        "owner": "a",
        "finished_at": NOW,
    },
    "counts without an end": {"rows_ok": 1, "rows_err": 0},
    "dead without a cause": {"state": "dead", "rows_ok": 0, "rows_err": 1, "finished_at": NOW},
    "split without a time": {"state": "split"},
    "a part of nothing": {"part_path": "p", "part_sha256": "s"},
    "negative": {"attempt": -1},
    "offered without a holder": {"offered_at": NOW},
    "a twin without a holder": {"twin_token": "t", "twin_owner": "b", "twin_until": NOW},
    "a twin without a name": {"twin_token": "t", "twin_until": NOW} | HELD,
    "a twin without an end": {"twin_token": "t", "twin_owner": "b"} | HELD,
}


@pytest.mark.parametrize("fault", BAD_JOBS)
def test_bad_jobs(database: Database, fault: str) -> None:
    with database.write() as conn:
        running(conn)
    with pytest.raises(IntegrityError), database.write() as conn:
        conn.execute(update(tables.job).values(BAD_JOBS[fault]))


@pytest.mark.parametrize("fault", BAD_CHUNKS)
def test_bad_chunks(database: Database, fault: str) -> None:
    with database.write() as conn:
        running(conn)
    with pytest.raises(IntegrityError), database.write() as conn:
        conn.execute(update(tables.chunk).values(BAD_CHUNKS[fault]))


def test_there_is_one_finalize_chunk(database: Database) -> None:
    with database.write() as conn:
        running(conn, 5, 10)
    with pytest.raises(IntegrityError), database.write() as conn:
        conn.execute(update(tables.chunk).values(kind=ChunkKind.FINALIZE))


def test_a_chunk_belongs_to_a_job(database: Database) -> None:
    row = {"job_id": "nobody", "idx": 0, "kind": "infer", "state": "pending"}
    span = {"start_pos": 0, "end_pos": 1, "weight": 1}
    with pytest.raises(IntegrityError), database.write() as conn:
        conn.execute(insert(tables.chunk).values(row | span))


@pytest.mark.parametrize(
    ("table", "column", "words"),
    [
        ("job", "state", JobState),
        ("chunk", "state", ChunkState),
        ("chunk", "kind", ChunkKind),
    ],
)
def test_checks_know_the_words_of_the_house(
    table: str, column: str, words: type[JobState | ChunkState | ChunkKind]
) -> None:
    (check,) = (
        each
        for each in tables.METADATA.tables[table].constraints
        if each.name == f"ck_{table}_{column}_known"
    )
    listed = str(getattr(check, "sqltext")).split("(")[1].rstrip(")")  # noqa: B009
    assert {each.strip(" '") for each in listed.split(",")} == {word.value for word in words}
