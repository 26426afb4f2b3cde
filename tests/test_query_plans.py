"""What runs every second or at every event finds its rows by an index."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from millrace.db.session import Database
from millrace.lifecycle import chunks, jobs, queries
from millrace.types import ChunkKind, JobId, Lease, PlannedChunk, Span, WorkerId
from tests.lifecycle.stage import NOW, TTL, A, B, pinned, result, running, submitted

CHUNKS = 20_000
LEASED = range(5, 505)
RUNG = range(600, 900)
OFFERED = 77

BIG = "file:///big"
RUNG_INDEXES = ["ix_chunk_rung", "ix_chunk_rung_job"]
LEASE_INDEXES = ["ix_chunk_lease", "ix_chunk_leased_job"]
NAMED = ["pk_chunk", "sqlite_autoindex_chunk_1"]

Look = Callable[[Connection, JobId], object]

LOOKS: dict[str, tuple[Look, list[str]]] = {
    "due": (lambda conn, job: queries.due(conn, limit=8, now=NOW), ["ix_chunk_due"]),
    "due of one job": (
        lambda conn, job: queries.due(conn, limit=8, job_id=job, unrung_for=9, now=NOW),
        ["ix_chunk_due"],
    ),
    "due of a pool by the database's clock": (
        lambda conn, job: queries.due(conn, limit=8, pool="default", unrung_for=9),
        ["ix_chunk_due"],
    ),
    "next_rung": (lambda conn, job: next_rung(conn, A), RUNG_INDEXES),
    "next_rung of one job": (lambda conn, job: next_rung(conn, A, job), RUNG_INDEXES),
    "what is offered": (
        lambda conn, job: next_rung(conn, B),
        ["ix_chunk_offered", *LEASE_INDEXES],
    ),
    "backlog": (lambda conn, job: queries.backlog(conn, "default", now=NOW), ["ix_chunk_due"]),
    "progress": (lambda conn, job: queries.progress(conn, job), LEASE_INDEXES),
    "leases": (lambda conn, job: queries.leases(conn, job, now=NOW), LEASE_INDEXES),
    "pace": (lambda conn, job: queries.pace(conn, job), NAMED),
    "waiting": (lambda conn, job: queries.waiting(conn, job, now=NOW), LEASE_INDEXES),
    "ready_to_freeze": (lambda conn, job: queries.ready_to_freeze(conn), ["ix_chunk_due"]),
    "freeze": (lambda conn, job: jobs.freeze(conn, job, now=NOW), ["ix_chunk_due"]),
    "pause": (lambda conn, job: jobs.pause(conn, job, now=NOW), RUNG_INDEXES),
    "lapsed": (lambda conn, job: chunks.lapsed(conn, now=NOW), LEASE_INDEXES),
    "reap of one job": (lambda conn, job: chunks.reap(conn, 10, job_id=job), LEASE_INDEXES),
    "reap": (lambda conn, job: chunks.reap(conn, 10, now=NOW), LEASE_INDEXES),
    "reap by the database's clock": (lambda conn, job: chunks.reap(conn, 10), LEASE_INDEXES),
    "release_owned": (lambda conn, job: chunks.release_owned(conn, B, now=NOW), LEASE_INDEXES),
    "claim": (lambda conn, job: chunks.claim(conn, job, 1000, A, 60, now=NOW), NAMED),
    "claim_many": (
        lambda conn, job: chunks.claim_many(conn, job, range(490, 554), B, 60, now=NOW),
        NAMED,
    ),
    "ring_many": (
        lambda conn, job: chunks.ring_many(conn, job, range(850, 914), now=NOW),
        NAMED,
    ),
    "renew_many": (lambda conn, job: chunks.renew_many(conn, some(job), 60, now=NOW), NAMED),
    "commit_many": (
        lambda conn, job: chunks.commit_many(conn, [(each, result(1)) for each in some(job)]),
        NAMED,
    ),
    "release_many": (lambda conn, job: chunks.release_many(conn, some(job), ""), NAMED),
}


def next_rung(conn: Connection, worker: WorkerId, job_id: JobId | None = None) -> object:
    asked: dict[str, Any] = {"pool": "default", "limit": 64, "affinity": 5.0, "now": NOW}
    return queries.next_rung(conn, worker=worker, job_id=job_id, **asked)


def some(job_id: JobId) -> list[Lease]:
    """Leases of a batch, as good as any for how they are looked for."""
    return [
        Lease(job_id, idx, ChunkKind.INFER, Span(idx, idx + 1), 1, "token", A, 0, ())
        for idx in list(LEASED)[:64]
    ]


@pytest.fixture(scope="module", params=["sqlite", "postgres", "postgres without statistics"])
def crowded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """A database of each kind with many chunks, most of them of one job that is new."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            file = tmp_path_factory.mktemp("crowded") / "millrace.db"
            shutil.copy(request.getfixturevalue("migrated_sqlite"), file)
            url = f"sqlite:///{file}"
        else:
            server = request.getfixturevalue("postgres_server")
            url = stack.enter_context(server.database())
        database = Database.connect(url)
        stack.callback(database.close)
        with database.write() as conn:
            fill(conn)
            if "without" not in request.param:
                conn.execute(text("ANALYZE"))
        yield database


def fill(conn: Connection) -> None:
    for other in range(20):
        running(conn, *range(1, 50), output=f"file:///{other}")
    job_id = submitted(conn, BIG)
    jobs.pin(conn, job_id, pinned(CHUNKS), "")
    jobs.add_chunks(conn, job_id, (PlannedChunk(Span(i, i + 1), 1) for i in range(CHUNKS)))
    jobs.queue(conn, job_id, now=NOW)
    jobs.start(conn, job_id, now=NOW)
    chunks.claim_many(conn, job_id, LEASED, A, TTL, now=NOW)
    chunks.offer(conn, job_id, OFFERED, now=NOW)
    chunks.ring_many(conn, job_id, RUNG, rung_to=A, now=NOW)


class Undone(Exception):
    """Raised so that what a look has written is rolled back."""


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
def test_it_uses_its_index(crowded: Database, look: str) -> None:
    run, indexes = LOOKS[look]
    found = plans_of(crowded, run)
    assert any(index in plan for plan in found for index in indexes), "\n".join(found)
    for plan in found:
        assert "SCAN chunk" not in plan.replace("SCAN chunk USING INDEX", ""), plan
        assert "Seq Scan on chunk" not in plan


def plans_of(database: Database, look: Look) -> list[str]:
    found: list[str] = []
    with suppress(Undone), database.write() as conn:
        big = queries.newest_for_output(conn, BIG)
        assert big is not None
        with overheard(conn) as statements:
            look(conn, big.id)
        found += plans(conn, statements)
        raise Undone
    return found


def test_the_databases_clock_is_read_once_and_not_for_every_row(crowded: Database) -> None:
    for plan in plans_of(crowded, lambda conn, job: chunks.reap(conn, 10)):
        assert "clock_timestamp" not in plan
