"""``millrace doctor`` and ``millrace db check`` before things that are broken on purpose."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Millrace
from tests.postgres import PostgresServer
from tests.servers.broker import Rabbit, Valkey
from tests.servers.ports import free_port
from tests.servers.s3 import Moto, connected, new_bucket

Findings = dict[str, list[dict[str, Any]]]


def found(millrace: Millrace, *options: str, code: int = 0, command: str = "doctor") -> Findings:
    """What was found, by what was looked at."""
    done = millrace(*command.split(), *options, "--json")
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    document = json.loads(done.stdout)
    assert document["ok"] == (code == 0)
    findings: Findings = {}
    for each in document["data"]:
        findings.setdefault(each["id"], []).append(each)
    return findings


def one(findings: Findings, what: str, state: str) -> dict[str, Any]:
    """The only finding of this kind and state; it says what to do, unless all is well."""
    (found,) = [each for each in findings[what] if each["state"] == state]
    assert found["advice"] or state == "ok"
    return found


def test_all_is_well(
    millrace: Millrace,
    environment: dict[str, str],
    postgres_server: PostgresServer,
    valkey: Valkey,
    moto: Moto,
) -> None:
    with postgres_server.database() as url, connected(moto.url):
        environment.update(os.environ)
        environment["MILLRACE_DATABASE_URL"] = url
        environment["MILLRACE_BROKER_URL"] = valkey.url
        environment["MILLRACE_S3_ENDPOINT_URL"] = moto.url
        findings = found(millrace, "--storage", f"{new_bucket(moto.url)}/out", code=7)
    # our own Postgres is started without fsync
    assert "fsync" in one(findings, "durability", "fail")["seen"]
    failing = [w for w, found in findings.items() if any(e["state"] == "fail" for e in found)]
    assert failing == ["durability"]
    assert one(findings, "broker", "ok")
    assert one(findings, "storage", "ok")
    assert one(findings, "clock", "ok")


def test_for_people_it_is_a_few_lines(millrace: Millrace) -> None:
    done = millrace("doctor", "--storage", "out")
    assert done.returncode == 0, done.stdout
    assert "warn  broker" in done.stdout
    assert "→ set broker_url" in done.stdout


def test_a_database_that_is_not_there(millrace: Millrace, environment: dict[str, str]) -> None:
    nowhere = f"postgresql+psycopg://me:s3cret@127.0.0.1:{free_port()}/db"
    environment["MILLRACE_DATABASE_URL"] = nowhere
    for command in ("doctor", "db check"):
        fault = one(found(millrace, code=7, command=command), "database", "fail")
        assert "DATABASE_UNREACHABLE" in fault["seen"]
        assert "s3cret" not in json.dumps(fault)


def test_a_schema_that_is_old(
    millrace: Millrace, environment: dict[str, str], postgres_server: PostgresServer
) -> None:
    with postgres_server.database(migrated=False) as url:
        environment["MILLRACE_DATABASE_URL"] = url
        fault = one(found(millrace, code=7), "database", "fail")
        assert "DATABASE_OUTDATED" in fault["seen"]
        assert "millrace db upgrade" in fault["advice"]
        assert millrace("db", "upgrade").returncode == 0
        assert "durability" in found(millrace, code=7, command="db check")


def test_a_broker_that_is_not_there(millrace: Millrace, environment: dict[str, str]) -> None:
    for scheme in ("redis", "amqp"):
        environment["MILLRACE_BROKER_URL"] = f"{scheme}://:s3cret@127.0.0.1:{free_port()}//"
        fault = one(found(millrace, code=7), "broker", "fail")
        assert "does not answer" in fault["seen"]
        assert "s3cret" not in json.dumps(fault)


@pytest.mark.parametrize("url", ["carrier-pigeon://coop", "redis://:secret@localhost:door/0"])
@pytest.mark.parametrize("command", [("doctor",), ("scheduler",), ("worker", "--processes", "1")])
def test_a_broker_that_cannot_be_one_is_refused_as_a_setting(
    millrace: Millrace, environment: dict[str, str], url: str, command: tuple[str, ...]
) -> None:
    environment["MILLRACE_BROKER_URL"] = url
    refused = millrace(*command)
    assert refused.returncode == 2
    assert "MILLRACE_BROKER_URL" in refused.stderr
    assert "secret" not in refused.stderr


def test_a_rabbit_is_as_good(
    millrace: Millrace, environment: dict[str, str], rabbit: Rabbit
) -> None:
    environment["MILLRACE_BROKER_URL"] = rabbit.url
    assert one(found(millrace), "broker", "ok")


def test_a_broker_that_throws_messages_away_or_wants_a_password(
    millrace: Millrace, environment: dict[str, str], valkey: Valkey
) -> None:
    valkey.command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    environment["MILLRACE_BROKER_URL"] = valkey.url
    assert "allkeys-lru" in one(found(millrace), "broker", "warn")["seen"]
    valkey.command("CONFIG", "SET", "requirepass", "s3cret")
    environment["MILLRACE_BROKER_URL"] = valkey.url.replace("://", "://:wrong@")
    fault = one(found(millrace, code=7), "broker", "fail")
    assert "wrong" not in fault["seen"].partition("does not answer")[0]


def test_a_broker_elsewhere_without_a_password(
    millrace: Millrace, environment: dict[str, str]
) -> None:
    environment["MILLRACE_BROKER_URL"] = f"redis://broker.invalid:{free_port()}"
    assert "password" in one(found(millrace, code=7), "broker", "warn")["seen"]


def test_a_bucket_that_is_not_there_and_a_folder_that_cannot_be(
    millrace: Millrace, environment: dict[str, str], moto: Moto, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    with connected(moto.url):
        environment.update(os.environ)
        environment["MILLRACE_S3_ENDPOINT_URL"] = moto.url
        places = ("--storage", "s3://not-a-bucket-of-ours/out", "--storage", "file/out")
        faults = found(millrace, *places, code=7)["storage"]
    assert [each["state"] for each in faults] == ["fail", "fail"]
    assert "not-a-bucket-of-ours" in faults[0]["seen"]
    assert all(each["advice"] for each in faults)


def test_a_gpu_that_is_not_there(millrace: Millrace, environment: dict[str, str]) -> None:
    environment["MILLRACE_DEVICE"] = "cuda:99"
    assert "cuda:99" in one(found(millrace, code=7), "devices", "fail")["seen"]


@pytest.mark.parametrize(("mode", "warned"), [(0o644, True), (0o640, False)])
def test_a_password_that_anybody_can_read(
    millrace: Millrace, tmp_path: Path, mode: int, warned: bool
) -> None:
    config = tmp_path / "millrace.toml"
    config.write_text('broker_url = "redis://:s3cret@127.0.0.1:1"\n')
    config.chmod(mode)
    findings = found(millrace, "--config", str(config), code=7)
    warnings = [each for each in findings["settings"] if each["state"] == "warn"]
    assert bool(warnings) == warned
    assert all("chmod" in each["advice"] for each in warnings)


def test_settings_that_contradict_one_another(
    millrace: Millrace, environment: dict[str, str]
) -> None:
    environment["MILLRACE_LEASE_SECONDS"] = "20"
    assert "lease_seconds" in one(found(millrace), "settings", "warn")["seen"]


def test_settings_that_cannot_be_read_are_a_usage_error(
    millrace: Millrace, environment: dict[str, str]
) -> None:
    environment["MILLRACE_THREADS"] = "0"
    refused = millrace("doctor")
    assert (refused.returncode, "MILLRACE_THREADS" in refused.stderr) == (2, True)


def test_a_file_of_this_machine(millrace: Millrace, state: Path) -> None:
    assert "will be made" in one(found(millrace), "database", "ok")["seen"]
    assert millrace("db", "upgrade").returncode == 0
    assert (state / "millrace.db").exists()
    assert one(found(millrace, command="db check"), "schema", "ok")
    (state / "millrace.db").write_bytes(b"this is no database" * 100)
    assert one(found(millrace, code=7), "database", "fail")
