"""What goes wrong on our side: said plainly, without a word of what is inside."""

from __future__ import annotations

import logging
import signal
import subprocess
from pathlib import Path

import httpx
import pytest

from millrace.access.key_text import KeyText
from millrace.db.session import Database
from tests.api.refusals import refused
from tests.api.site import Realm, Site, serving
from tests.api.test_health import served
from tests.commands import command
from tests.servers.ports import free_port
from tests.waiting import until


def test_a_database_that_is_away_is_a_503(tmp_path: Path) -> None:
    nowhere = f"postgresql+psycopg://me:s3cret@127.0.0.1:{free_port()}/db"
    with serving(nowhere, tmp_path) as site:
        key = KeyText.new().written()
        answer = site.anybody(Authorization=f"Bearer {key}").get("/v1/jobs")
        told = refused(answer, 503, "DATABASE_UNREACHABLE")
        assert int(answer.headers["Retry-After"]) > 0
        assert not {"s3cret", "127.0.0.1", "postgresql"} & set(str(told).replace(":", " ").split())


def test_a_database_without_our_tables(empty_url: str, tmp_path: Path) -> None:
    with serving(empty_url, tmp_path) as site:
        answer = site.anybody(Authorization=f"Bearer {KeyText.new().written()}").get("/v1/jobs")
        refused(answer, 503, "DATABASE_OUTDATED")
        assert site.anybody().get("/readyz").json() == {
            "status": "unavailable",
            "code": "DATABASE_OUTDATED",
        }


def test_what_nobody_foresaw_is_logged_and_not_told(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    def explode() -> None:
        raise RuntimeError("s3cret of /home/me")

    site.app.add_api_route("/explode", explode)
    told = refused(site.anybody().get("/explode"), 500, "INTERNAL")
    assert "s3cret" not in str(told)

    def errors() -> list[logging.LogRecord]:
        return [each for each in caplog.records if each.levelno >= logging.ERROR]

    until(errors, "it is logged")
    (logged,) = errors()
    assert told["request_id"] in logged.getMessage()
    assert logged.exc_info is not None


def test_every_answer_is_handed_out_with_caution(site: Site, client: httpx.Client) -> None:
    answers = [client.get("/v1/jobs"), client.get("/nothing"), site.anybody().get("/healthz")]
    answers.append(client.post("/v1/jobs", content=b"x" * (2 << 20)))
    for answer in answers:
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert len(answer.headers["X-Request-Id"]) == 32
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == len(answers)


def test_no_other_site_may_read_it(client: httpx.Client) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    assert client.options("/v1/jobs", headers=asked).status_code == 405
    answer = client.get("/v1/jobs", headers=asked)
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_pages_about_itself_only_where_switched_on(database_url: str, tmp_path: Path) -> None:
    with serving(database_url, tmp_path, api_docs=True) as site:
        page = site.anybody().get("/docs")
        assert (page.status_code, "swagger" in page.text) == (200, True)
        assert "Content-Security-Policy" not in page.headers


def test_it_listens_to_others_only_with_a_key(
    environment: dict[str, str], database_url: str, database: Database
) -> None:
    environment |= {"MILLRACE_DATABASE_URL": database_url}
    asked = command("api", "--host", "0.0.0.0", "--port", str(free_port()))
    refusal = subprocess.run(
        asked, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert (refusal.returncode, "NO_KEYS" in refusal.stderr) == (6, True)
    assert "millrace keys create" in refusal.stderr
    made = subprocess.run(
        command("keys", "create", "--name", "admin", "--scope", "admin"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    with served(environment, database_url, "--host", "0.0.0.0") as (_, base):
        key = made.stdout.strip()
        me = httpx.get(f"{base}/v1/me", headers={"Authorization": f"Bearer {key}"})
        assert me.json()["scopes"] == ["admin"]


def test_killed_between_commit_and_answer_the_client_asks_again(
    environment: dict[str, str], database_url: str, database: Database, tmp_path: Path
) -> None:
    realm = Realm(database, tmp_path)
    order, key = realm.order(), realm.key()
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "once"}
    fatal = environment | {"MILLRACE_FAILPOINTS": "api.after_commit=kill"}
    with served(fatal, database_url) as (api, base):
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{base}/v1/jobs", json=order, headers=headers, timeout=30)
        assert api.wait(20) == -signal.SIGKILL
    with served(environment, database_url) as (_, base):
        again = httpx.post(f"{base}/v1/jobs", json=order, headers=headers, timeout=30)
        assert again.status_code == 200, again.text
        listed = httpx.get(f"{base}/v1/jobs", headers=headers).json()["data"]
        assert [job["id"] for job in listed] == [again.json()["id"]]
