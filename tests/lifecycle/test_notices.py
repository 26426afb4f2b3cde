"""Whatever ends a job, or starts or pauses it, is told in the transaction that does so."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from millrace import lifecycle
from millrace.db import tables, webhook_tables
from millrace.db.session import Database
from millrace.lifecycle import endpoints, jobs
from millrace.lifecycle.notices import NOTICES
from millrace.lifecycle.transitions import JOB_MOVES, JOB_TERMINAL
from millrace.types import DeliveryState, JobId, JobState, WebhookEvent
from tests.lifecycle import stage
from tests.lifecycle.stage import NOW

URL = "https://hooks.example/"


def told(conn: Connection, webhook_id: str | None = None) -> list[str]:
    """The events in the outbox, in the order in which they came in."""
    outbox = webhook_tables.outbox.c
    found = select(outbox.event).order_by(outbox.created_at, outbox.id)
    if webhook_id is not None:
        found = found.where(outbox.webhook_id == webhook_id)
    return list(conn.scalars(found))


def register(conn: Connection, tenant: str = "default", *events: WebhookEvent) -> str:
    return endpoints.register(conn, tenant, URL, events or None, now=NOW)[0]


def test_every_move_that_ends_a_job_is_told() -> None:
    ends = {
        (verb, target)
        for verb, move in JOB_MOVES.items()
        for target in move.targets
        if target in JOB_TERMINAL
    }
    assert ends <= NOTICES.keys()
    possible = {(verb, target) for verb, move in JOB_MOVES.items() for target in move.targets}
    assert NOTICES.keys() <= possible
    assert set(NOTICES.values()) == set(WebhookEvent)


@pytest.mark.parametrize(
    ("state", "events"),
    [
        (JobState.RUNNING, ["job.started"]),
        (JobState.PAUSED, ["job.started", "job.paused"]),
        (JobState.SUCCEEDED, ["job.started", "job.succeeded"]),
        (JobState.PARTIAL, ["job.started", "job.partial"]),
        (JobState.FAILED, ["job.started", "job.failed"]),
        (JobState.EXPIRED, ["job.started", "job.expired"]),
        (JobState.CANCELLED, ["job.started", "job.cancelled"]),
    ],
)
def test_how_a_job_came_to_its_state(
    database: Database, state: JobState, events: Sequence[str]
) -> None:
    with database.write() as connection:
        register(connection)
        job_id = stage.in_state(connection, state)
    with database.read() as connection:
        assert sorted(each for each in told(connection)) == sorted(events)
        rows = connection.execute(select(webhook_tables.outbox)).all()
    assert {row.job_id for row in rows} == {job_id}
    assert {row.state for row in rows} == {DeliveryState.PENDING}
    assert len({row.id for row in rows}) == len(rows)
    last = json.loads(next(row.payload for row in rows if row.event == events[-1]))
    assert last["type"] == events[-1]
    assert (last["data"]["job"], last["data"]["state"]) == (job_id, state)


def test_what_the_body_says(database: Database) -> None:
    with database.write() as connection:
        register(connection, "default", WebhookEvent.PARTIAL)
        job_id = stage.in_state(connection, JobState.PARTIAL)
        body: dict[str, Any] = json.loads(
            connection.scalar(select(webhook_tables.outbox.c.payload)) or ""
        )
    assert body == {
        "type": "job.partial",
        "timestamp": "1970-01-12T13:46:40.000+00:00",
        "data": {
            "job": job_id,
            "tenant": "default",
            "state": "partial",
            "reason_code": None,
            "model": "echo:echo",
            "output": "file:///out",
            "rows_ok": 9,
            "rows_err": 1,
            "created_at": "1970-01-12T13:46:40.000+00:00",
            "started_at": "1970-01-12T13:46:40.000+00:00",
            "finished_at": "1970-01-12T13:46:40.000+00:00",
        },
    }


def test_a_move_that_is_undone_is_not_told(database: Database) -> None:
    with database.write() as connection:
        register(connection)
        job_id = stage.running(connection)
        before = told(connection)

    def undone(connection: Connection) -> None:
        assert jobs.fail(connection, job_id, "X", "why", now=NOW)
        assert told(connection) != before
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        database.transact(undone)
    with database.read() as connection:
        assert told(connection) == before


def test_a_move_that_is_refused_is_not_told(database: Database) -> None:
    with database.write() as connection:
        register(connection)
        job_id = stage.in_state(connection, JobState.CANCELLED)
        before = told(connection)
        assert not jobs.fail(connection, job_id, "X", "why", now=NOW)
        assert jobs.cancel(connection, job_id, now=NOW) is JobState.CANCELLED
        assert told(connection) == before


def test_a_retried_job_starts_again(database: Database) -> None:
    with database.write() as connection:
        register(connection)
        job_id = stage.running(connection)
        jobs.fail(connection, job_id, "X", "why", now=NOW + 1)
        jobs.retry(connection, job_id, now=NOW + 2)
        assert told(connection) == ["job.started", "job.failed", "job.started"]


Arrange = Callable[[Connection], tuple[JobId, set[str]]]


def of_another_tenant(conn: Connection) -> tuple[JobId, set[str]]:
    register(conn, "zeta")
    return stage.running(conn), set()


def of_other_events(conn: Connection) -> tuple[JobId, set[str]]:
    register(conn, "default", WebhookEvent.SUCCEEDED, WebhookEvent.STARTED)
    return stage.running(conn), {register(conn, "default", WebhookEvent.FAILED)}


def removed(conn: Connection) -> tuple[JobId, set[str]]:
    gone = register(conn)
    endpoints.remove(conn, gone, now=NOW)
    return stage.running(conn), set()


def named_by_the_job(conn: Connection) -> tuple[JobId, set[str]]:
    register(conn)
    chosen = register(conn)
    job_id = stage.running(conn)
    named = update(tables.job).where(tables.job.c.id == job_id)
    conn.execute(named.values(webhook=chosen))
    return job_id, {chosen}


def named_but_another_tenants(conn: Connection) -> tuple[JobId, set[str]]:
    register(conn)
    stranger = register(conn, "zeta")
    job_id = stage.running(conn)
    named = update(tables.job).where(tables.job.c.id == job_id)
    conn.execute(named.values(webhook=stranger))
    return job_id, set()


@pytest.mark.parametrize(
    "arrange",
    [
        of_another_tenant,
        of_other_events,
        removed,
        named_by_the_job,
        named_but_another_tenants,
    ],
)
def test_who_is_told(database: Database, arrange: Arrange) -> None:
    outbox = webhook_tables.outbox.c
    with database.write() as connection:
        job_id, listeners = arrange(connection)
        jobs.fail(connection, job_id, "X", "why", now=NOW)
        found = connection.scalars(
            select(outbox.webhook_id).where(outbox.event == WebhookEvent.FAILED)
        )
        assert set(found) == listeners


def test_the_spec_of_a_job_names_its_webhook(database: Database) -> None:
    with database.write() as connection:
        chosen, _ = register(connection), register(connection)
        job_id = stage.submitted(connection, webhook=chosen)
        assert jobs.fail(connection, job_id, "X", "why", now=NOW)
        assert told(connection) == told(connection, chosen) == ["job.failed"]
    assert stage.spec(webhook=chosen).spec_hash() == stage.spec().spec_hash()


def test_nothing_but_the_guarded_move_writes_the_state_of_a_job() -> None:
    """So no verb can move a job and forget to tell."""
    movers = {
        file.name
        for file in Path(lifecycle.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and "update(tables.job)" in ast.unparse(node.func)
        and any(word.arg == "state" for word in node.keywords)
    }
    assert movers == {"guards.py"}
