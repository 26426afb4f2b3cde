"""What runs every second or at every event finds its rows by an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from millrace.db.session import Database
from millrace.lifecycle import chunks, jobs, queries
from millrace.types import JobId, PlannedChunk, Span
from tests.lifecycle.stage import LATER, NOW, A, claimed, pinned, submitted

CHUNKS = 20_000

Look = Callable[[Connection, JobId], object]

LOOKS: dict[str, tuple[Look, str]] = {
    "due": (lambda conn, job: queries.due(conn, limit=8, now=NOW), "ix_chunk_due"),
    "due of one job": (
        lambda conn, job: queries.due(conn, limit=8, job_id=job, rung_before=NOW, now=NOW),
        "ix_chunk_due",
    ),
    "due by the database's clock": (lambda conn, job: queries.due(conn, limit=8), "ix_chunk_due"),
    "rung": (lambda conn, job: queries.rung(conn, since=NOW), "ix_chunk_rung"),
    "reap": (lambda conn, job: chunks.reap(conn, 10, now=LATER), "ix_chunk_lease"),
    "reap by the database's clock": (lambda conn, job: chunks.reap(conn, 10), "ix_chunk_lease"),
    "release_owned": (lambda conn, job: chunks.release_owned(conn, A, now=NOW), "ix_chunk_lease"),
    "claim": (lambda conn, job: chunks.claim(conn, job, 77, A, 60, now=NOW), "pk_chunk"),
}


@pytest.fixture
def big(database: Database) -> JobId:
    with database.write() as conn:
        job_id = submitted(conn)
        jobs.pin(conn, job_id, pinned(CHUNKS), "")
        jobs.add_chunks(conn, job_id, (PlannedChunk(Span(i, i + 1), 1) for i in range(CHUNKS)))
        jobs.queue(conn, job_id, now=NOW)
        jobs.start(conn, job_id, now=NOW)
        claimed(conn, job_id, 5)
        chunks.ring(conn, job_id, 6, now=NOW)
        conn.execute(text("ANALYZE"))
    return job_id


@contextmanager
def overheard(connection: Connection) -> Iterator[list[tuple[str, Any]]]:
    """The statements that are sent within the block, as they are sent."""
    heard: list[tuple[str, Any]] = []

    def hear(conn: object, cursor: object, sql: str, given: Any, *rest: object) -> None:
        heard.append((sql, given))

    event.listen(connection, "before_cursor_execute", hear)
    yield heard
    event.remove(connection, "before_cursor_execute", hear)


def plans(conn: Connection, statements: list[tuple[str, Any]]) -> list[str]:
    """How the database would find the chunks of each statement that names them first."""
    explain = "EXPLAIN QUERY PLAN " if conn.dialect.name == "sqlite" else "EXPLAIN "
    about_chunks = [
        (sql, given) for sql, given in statements if "FROM chunk" in sql or "UPDATE chunk" in sql
    ]
    return [
        "\n".join(str(row[-1]) for row in conn.exec_driver_sql(explain + sql, given))
        for sql, given in about_chunks
    ]


@pytest.mark.parametrize("look", LOOKS)
def test_it_uses_its_index(database: Database, big: JobId, look: str) -> None:
    run, index = LOOKS[look]
    with database.write() as conn:
        with overheard(conn) as statements:
            run(conn, big)
        found = plans(conn, statements)
    assert found
    # SQLite has no name for the index of a primary key of two columns.
    assert index in found[0] or (index == "pk_chunk" and "sqlite_autoindex_chunk_1" in found[0])
    for plan in found:
        assert "SCAN chunk" not in plan.replace("SCAN chunk USING INDEX", "")
        assert "Seq Scan on chunk" not in plan


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_the_databases_clock_is_read_once_and_not_for_every_row(
    database: Database, big: JobId
) -> None:
    with database.write() as conn:
        with overheard(conn) as statements:
            chunks.reap(conn, 10)
        assert "Index Cond: (lease_until <" in plans(conn, statements)[0]
