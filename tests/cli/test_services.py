"""``millrace scheduler`` and ``millrace worker``: how they begin, survive and end."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.db import migrations
from millrace.db.session import Database
from millrace.lifecycle import events, queries
from millrace.types import ChunkState, JobId
from tests.commands import Millrace
from tests.postgres import PostgresServer
from tests.servers.ports import free_port
from tests.services import Start
from tests.waiting import until

SLOW = ("--model", "echo", "--option", "delay=0.4", "--chunk-rows", "4", "--key", "id")


@pytest.fixture(autouse=True)
def rows(tmp_path: Path) -> None:
    lines = (f'{{"id": {n}, "text": "row {n}"}}\n' for n in range(40))
    (tmp_path / "rows.jsonl").write_text("".join(lines))


@pytest.fixture
def database(state: Path) -> Iterator[Database]:
    state.mkdir(exist_ok=True)
    url = f"sqlite:///{state / 'millrace.db'}"
    migrations.upgrade(url)
    opened = Database.connect(url)
    yield opened
    opened.close()


def submitted(millrace: Millrace, *options: str) -> JobId:
    done = millrace("submit", "--input", "rows.jsonl", "--output", "out", *options, "--json")
    assert done.returncode == 0, done.stderr
    return JobId(json.loads(done.stdout)["id"])


def chunks(database: Database, job: JobId) -> Counter[ChunkState]:
    with database.read() as connection:
        return Counter(queries.progress(connection, job).chunks)


def verbs(database: Database, job: JobId) -> Counter[str]:
    with database.read() as connection:
        return Counter(event.verb for event in events.page(connection, job, limit=10_000))


def test_a_job_goes_from_the_command_line_through_services_to_results(
    millrace: Millrace, start: Start
) -> None:
    start("scheduler")
    start("worker", "--processes", "1")

    waited = millrace(
        *("submit", "--input", "rows.jsonl", "--output", "out", "--model", "echo"),
        *("--key", "id", "--wait", "--json"),
    )

    assert waited.returncode == 0, waited.stderr
    summary = json.loads(waited.stdout)
    assert (summary["state"], summary["rows_ok"], summary["pool"]) == ("succeeded", 40, "default")
    assert millrace("verify", "out").returncode == 0
    again = millrace(
        *("submit", "--input", "rows.jsonl", "--output", "out", "--model", "echo"),
        *("--key", "id"),
    )
    assert (again.returncode, "finished already" in again.stdout) == (0, True)


def test_a_worker_of_another_pool_leaves_a_job_alone(
    millrace: Millrace, start: Start, database: Database
) -> None:
    start("scheduler")
    other = start("worker", "--processes", "1", "--pool", "other")
    job = submitted(millrace, "--model", "echo", "--pool", "mine")
    until(lambda: chunks(database, job)[ChunkState.PENDING], "it is planned")

    shown = json.loads(millrace("jobs", "show", job, "--json").stdout)

    assert "millrace worker --pool mine" in shown["waits_for"]
    listed = json.loads(millrace("workers", "list", "--json").stdout)["data"]
    until(lambda: other.workers(), "a worker is there")
    assert {each["pool"] for each in listed} <= {"other"}
    start("worker", "--processes", "1", "--pool", "mine")
    assert millrace("jobs", "watch", job).returncode == 0


def test_a_killed_worker_is_replaced_and_its_chunk_taken_back_at_once(
    millrace: Millrace, start: Start, database: Database
) -> None:
    start("scheduler")
    supervisor = start("worker", "--processes", "1", MILLRACE_LEASE_SECONDS="600")
    job = submitted(millrace, *SLOW)
    until(lambda: chunks(database, job)[ChunkState.LEASED], "a chunk runs")
    (victim,) = supervisor.workers()

    victim.kill()

    until(lambda: verbs(database, job)["disown"], "its chunk is taken back")
    until(lambda: supervisor.workers() not in ([], [victim]), "another one is there")
    watched = millrace("jobs", "watch", job, "--json")
    assert (watched.returncode, json.loads(watched.stdout)["rows_ok"]) == (0, 40)
    assert "worker process ended" in supervisor.said()


def test_sigterm_lets_what_runs_come_to_its_end(
    millrace: Millrace, start: Start, database: Database
) -> None:
    scheduler = start("scheduler")
    supervisor = start("worker", "--processes", "1")
    job = submitted(millrace, *SLOW)
    until(lambda: chunks(database, job)[ChunkState.LEASED], "a chunk runs")

    assert supervisor.ends(signal.SIGTERM) == 0

    assert verbs(database, job)["commit"] >= 1
    assert chunks(database, job)[ChunkState.LEASED] == 0
    assert not verbs(database, job)["disown"]
    assert "worker stops" in supervisor.said()
    assert scheduler.ends(signal.SIGTERM) == 0
    assert "scheduler stops" in scheduler.said()
    with database.read() as connection:
        assert queries.workers(connection) == []


def test_a_second_sigterm_releases_what_runs_and_leaves(
    millrace: Millrace, start: Start, database: Database
) -> None:
    start("scheduler")
    supervisor = start("worker", "--processes", "1", MILLRACE_GRACE_SECONDS="600")
    job = submitted(millrace, "--model", "echo", "--option", "delay=300", "--chunk-rows", "4")
    until(lambda: chunks(database, job)[ChunkState.LEASED], "a chunk runs")
    supervisor.process.terminate()
    supervisor.says("draining")

    assert supervisor.ends(signal.SIGTERM, seconds=60) == 0, "long before the grace is over"

    assert chunks(database, job)[ChunkState.LEASED] == 0
    assert verbs(database, job)["release"] >= 1
    assert not verbs(database, job)["crash"]


@pytest.mark.parametrize("service", ["scheduler", "worker"])
def test_no_database_is_one_line_and_exit_code_7(start: Start, service: str) -> None:
    nowhere = f"postgresql+psycopg://me:s3cret@127.0.0.1:{free_port()}/db"
    waiting = start(service, MILLRACE_DATABASE_URL=nowhere, MILLRACE_STARTUP_SECONDS="2")

    assert waiting.ends() == 7

    assert "waiting for the database" in waiting.said()
    complaint = [line for line in waiting.said().splitlines() if line.startswith("millrace: ")]
    assert len(complaint) == 1
    assert "DATABASE_UNREACHABLE" in complaint[0]
    assert "s3cret" not in waiting.said()
    assert "Traceback" not in waiting.said()


def test_a_service_waits_for_a_database_to_be_upgraded(
    start: Start,
    postgres_server: PostgresServer,
    millrace: Millrace,
    environment: dict[str, str],
) -> None:
    with postgres_server.database(migrated=False) as url:
        environment["MILLRACE_DATABASE_URL"] = url
        scheduler = start("scheduler", MILLRACE_DATABASE_URL=url)
        scheduler.says("waiting for the database")
        refused = millrace("submit", "--input", "rows.jsonl", "--output", "out", "--model", "echo")
        assert (refused.returncode, "millrace db upgrade" in refused.stderr) == (7, True)

        assert millrace("db", "upgrade").returncode == 0

        scheduler.says("leads")
        assert scheduler.ends(signal.SIGTERM) == 0


def test_settings_of_a_file_reach_the_workers(
    millrace: Millrace, start: Start, tmp_path: Path
) -> None:
    config = tmp_path / "millrace.toml"
    config.write_text('pool = "file"\nlog_level = "debug"\n')
    worker = start("worker", "--processes", "1", "--config", str(config))
    worker.says("pool=file")
    until(lambda: "file" in millrace("workers", "list").stdout, "it is in the roster")
    config.write_text("pool = 5\n")
    broken = millrace("worker", "--config", str(config))
    assert (broken.returncode, f"{config}:1 pool" in broken.stderr) == (2, True)
