"""``millrace api``, started for real: alive, ready, not ready, and how it ends."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from millrace.db import migrations
from tests.commands import command
from tests.servers.ports import free_port
from tests.waiting import until


@contextmanager
def served(
    environment: dict[str, str], url: str, *options: str, port: int | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    port = port or free_port()
    with subprocess.Popen(
        command("api", "--port", str(port), *options),
        env={**environment, "MILLRACE_DATABASE_URL": url},
        stderr=subprocess.PIPE,
        text=True,
    ) as api:
        base = f"http://127.0.0.1:{port}"
        try:
            until(lambda: alive(base) or api.poll() is not None, "the API answers", 60, every=0.05)
            yield api, base
        finally:
            api.kill()


def alive(base: str) -> bool:
    try:
        return httpx.get(f"{base}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def test_it_is_ready_and_ends_in_peace(environment: dict[str, str], database_url: str) -> None:
    with served(environment, database_url) as (api, base):
        answer = httpx.get(f"{base}/readyz")
        assert (answer.status_code, answer.json()) == (200, {"status": "ok"})
        assert httpx.get(f"{base}/docs").status_code == 404
        api.send_signal(signal.SIGTERM)
        _, said = api.communicate(timeout=20)
        assert api.returncode == 0, said
        assert "api starts" in said
        assert "api stops" in said


def test_a_database_without_our_tables_is_not_ready(
    environment: dict[str, str], empty_url: str
) -> None:
    with served(environment, empty_url) as (_, base):
        answer = httpx.get(f"{base}/readyz")
        assert answer.status_code == 503
        assert answer.json()["code"] == "DATABASE_OUTDATED"
        assert int(answer.headers["Retry-After"]) > 0
        migrations.upgrade(empty_url)
        assert httpx.get(f"{base}/readyz").status_code == 200


def test_no_database_is_not_ready_and_no_password_is_told(environment: dict[str, str]) -> None:
    nowhere = f"postgresql+psycopg://me:s3cret@127.0.0.1:{free_port()}/db"
    with served(environment, nowhere) as (_, base):
        answer = httpx.get(f"{base}/readyz", timeout=20)
        assert (answer.status_code, answer.json()["code"]) == (503, "DATABASE_UNREACHABLE")
        assert "s3cret" not in answer.text


def test_a_port_that_is_taken(environment: dict[str, str], tmp_path: Path) -> None:
    with served(environment, f"sqlite:///{tmp_path / 'x.db'}") as (_, base):
        port = base.rpartition(":")[2]
        second = subprocess.run(
            command("api", "--port", port),
            env=environment,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert second.returncode == 7
    assert "ADDRESS_UNAVAILABLE" in second.stderr


@pytest.mark.parametrize("port", ["-1", "65536", "many"])
def test_a_port_that_cannot_be(environment: dict[str, str], port: str) -> None:
    refused = subprocess.run(
        command("api", "--port", port), env=environment, capture_output=True, check=False
    )
    assert refused.returncode == 2
