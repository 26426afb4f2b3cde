"""Webhooks over HTTP: set up, shown without their secret, told again, and each tenant's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from millrace.access import audit
from millrace.lifecycle import deliveries, jobs
from millrace.types import JobState, WebhookEvent
from tests.api.jobs import in_state
from tests.api.refusals import refused
from tests.api.site import EVERYTHING, Site, serving

URL = "http://127.0.0.1:8443/hook"


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    """An API that lets loopback be called; nobody calls in these tests."""
    allowed: dict[str, Any] = {
        "webhook_http": True,
        "webhook_ports": (443, 8443),
        "webhook_networks": ("127.0.0.0/8",),
    }
    with serving(database_url, tmp_path, **allowed) as opened:
        yield opened


def registered(client: httpx.Client, **asked: Any) -> dict[str, Any]:
    answer = client.post("/v1/webhooks", json={"url": URL} | asked)
    assert answer.status_code == 201, answer.text
    webhook: dict[str, Any] = answer.json()
    return webhook


def failed_job(site: Site, tenant: str = "acme") -> str:
    job_id = in_state(site, JobState.RUNNING, tenant)
    with site.database.write() as connection:
        assert jobs.fail(connection, job_id, "X", "why")
    return job_id


def test_the_secret_is_shown_once(client: httpx.Client) -> None:
    webhook = registered(client, events=["job.failed", "job.failed"])
    secret = webhook.pop("secret")
    assert secret.startswith("whsec_")
    assert webhook["events"] == ["job.failed"]
    assert (webhook["failures"], webhook["rests_until"]) == (0, None)
    assert client.get(f"/v1/webhooks/{webhook['id']}").json() == webhook
    assert client.get("/v1/webhooks").json() == {"data": [webhook], "next": None}
    everything = registered(client)
    assert everything["events"] == [*WebhookEvent]


def test_a_new_secret_leaves_the_old_one_a_while(client: httpx.Client) -> None:
    webhook = registered(client)
    rotated = client.post(f"/v1/webhooks/{webhook['id']}/rotate").json()
    assert rotated["secret"] not in ("", webhook["secret"])
    assert rotated["previous_secret_until"] > rotated["created_at"]
    at_once = client.post(f"/v1/webhooks/{webhook['id']}/rotate", json={"overlap_seconds": 0})
    assert at_once.status_code == 200
    for wrong in (-1, 1e9, "1"):
        answer = client.post(
            f"/v1/webhooks/{webhook['id']}/rotate", json={"overlap_seconds": wrong}
        )
        refused(answer, 422, "FIELD_INVALID")


def test_what_is_removed_is_gone(client: httpx.Client) -> None:
    webhook = registered(client)
    path = f"/v1/webhooks/{webhook['id']}"
    assert client.delete(path).status_code == 204
    refused(client.delete(path), 404, "WEBHOOK_NOT_FOUND")
    refused(client.get(path), 404, "WEBHOOK_NOT_FOUND")
    refused(client.post(f"{path}/rotate"), 404, "WEBHOOK_NOT_FOUND")
    assert client.get("/v1/webhooks").json()["data"] == []


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://10.0.0.1:443/", "address"),
        ("https://169.254.169.254/", "address"),
        ("https://localhost.invalid/", "address"),
        ("https://[::ffff:10.0.0.1]/", "address"),
        ("http://0xa9fea9fe:443/", "address"),
        ("https://127.0.0.1:22/", "port"),
        ("https://user:pw@127.0.0.1/", "credentials"),
        ("gopher://127.0.0.1/", "scheme"),
        ("https://127.0.0.1/" + "x" * 3_000, "length"),
        ("nonsense", "scheme"),
    ],
)
def test_a_url_that_must_not_be_called(client: httpx.Client, url: str, why: str) -> None:
    told = refused(client.post("/v1/webhooks", json={"url": url}), 422, "WEBHOOK_URL_FORBIDDEN")
    assert f"({why})" in told["detail"]
    assert "pw" not in told["detail"]
    assert client.get("/v1/webhooks").json()["data"] == []


def test_without_settings_only_the_public_internet(database_url: str, tmp_path: Path) -> None:
    with serving(database_url, tmp_path) as site:
        client = site.client("acme")
        for url in ("http://example.com/", "https://localhost/", "https://127.0.0.1/"):
            answer = client.post("/v1/webhooks", json={"url": url})
            refused(answer, 422, "WEBHOOK_URL_FORBIDDEN")


def test_fields_that_cannot_be(client: httpx.Client) -> None:
    for body, code in (
        ({}, "FIELD_MISSING"),
        ({"url": URL, "events": []}, "FIELD_INVALID"),
        ({"url": URL, "events": ["job.exploded"]}, "FIELD_INVALID"),
        ({"url": URL, "secret": "mine"}, "UNKNOWN_FIELD"),
        ({"url": 7}, "FIELD_INVALID"),
    ):
        refused(client.post("/v1/webhooks", json=body), 422, code)


def test_there_are_not_any_number(client: httpx.Client) -> None:
    for _ in range(20):
        registered(client)
    refused(client.post("/v1/webhooks", json={"url": URL}), 409, "WEBHOOK_LIMIT")


def test_deliveries_are_listed_and_told_again(site: Site, client: httpx.Client) -> None:
    webhook = registered(client, events=["job.failed"])
    path = f"/v1/webhooks/{webhook['id']}/deliveries"
    job_id = failed_job(site)
    [listed] = client.get(path).json()["data"]
    assert (listed["job"], listed["event"], listed["state"]) == (job_id, "job.failed", "pending")
    assert listed["next_at"] == listed["created_at"]
    with site.database.write() as connection:
        [attempt] = deliveries.claim(connection, webhook["id"], 5, 60.0)
        assert deliveries.delivered(connection, attempt, 204)
    [arrived] = client.get(path).json()["data"]
    assert (arrived["state"], arrived["last_status"], arrived["next_at"]) == (
        "delivered",
        204,
        None,
    )
    again = client.post(f"{path}/{arrived['id']}/redeliver")
    assert (again.status_code, again.json()["state"], again.json()["tries"]) == (200, "pending", 0)
    refused(client.post(f"{path}/msg_0/redeliver"), 404, "DELIVERY_NOT_FOUND")
    other = registered(client)
    wrong = client.post(f"/v1/webhooks/{other['id']}/deliveries/{arrived['id']}/redeliver")
    refused(wrong, 404, "DELIVERY_NOT_FOUND")


def test_deliveries_come_a_page_at_a_time(site: Site, client: httpx.Client) -> None:
    webhook = registered(client)
    path = f"/v1/webhooks/{webhook['id']}/deliveries"
    job_id = in_state(site, JobState.RUNNING)
    for verb in (jobs.pause, jobs.resume, jobs.pause, jobs.resume, jobs.pause):
        with site.database.write() as connection:
            verb(connection, job_id)
    first = client.get(path, params={"limit": 2}).json()
    second = client.get(path, params={"limit": 2, "after": first["next"]}).json()
    listed = [each["id"] for each in [*first["data"], *second["data"]]]
    assert len(listed) == 3
    assert listed == sorted(listed, reverse=True)
    assert second["next"] is None
    refused(client.get(path, params={"after": "x"}), 422, "CURSOR_INVALID")


def test_a_job_may_name_its_webhook(site: Site, client: httpx.Client) -> None:
    chosen, other = registered(client), registered(client)
    strangers = registered(site.client("zeta"))
    job = client.post("/v1/jobs", json=site.order("acme", webhook=chosen["id"])).json()
    assert job["webhook"] == chosen["id"]
    client.post(f"/v1/jobs/{job['id']}/cancel")
    assert len(client.get(f"/v1/webhooks/{chosen['id']}/deliveries").json()["data"]) == 1
    assert client.get(f"/v1/webhooks/{other['id']}/deliveries").json()["data"] == []
    for wrong in (strangers["id"], "wh_" + "0" * 24, "https://example.com"):
        for path in ("/v1/jobs", "/v1/jobs?dry_run=true"):
            order = site.order("acme", webhook=wrong) | {"output": f"{site.folder}/acme/new"}
            told = refused(client.post(path, json=order), 422, "FIELD_INVALID")
            assert told["field"] == "webhook"


@pytest.mark.parametrize("scopes", [EVERYTHING, ("webhooks:read", "webhooks:write")])
def test_the_webhook_of_another_is_not_found(
    site: Site, client: httpx.Client, scopes: tuple[str, ...]
) -> None:
    webhook = registered(client)
    failed_job(site)
    path = f"/v1/webhooks/{webhook['id']}"
    [notice] = client.get(f"{path}/deliveries").json()["data"]
    stranger = site.client("zeta", *scopes)
    for method, place in (
        ("GET", path),
        ("DELETE", path),
        ("POST", f"{path}/rotate"),
        ("GET", f"{path}/deliveries"),
        ("POST", f"{path}/deliveries/{notice['id']}/redeliver"),
    ):
        answer = stranger.request(method, place)
        refused(answer, 404, "WEBHOOK_NOT_FOUND")
        assert "acme" not in answer.text
        assert URL not in answer.text
    own = registered(stranger)
    assert [each["id"] for each in stranger.get("/v1/webhooks").json()["data"]] == [own["id"]]
    across = f"/v1/webhooks/{own['id']}/deliveries/{notice['id']}/redeliver"
    refused(stranger.post(across), 404, "DELIVERY_NOT_FOUND")
    assert client.get(path).json()["previous_secret_until"] is None
    boss = site.client("house", "admin")
    assert len(boss.get("/v1/webhooks").json()["data"]) == 2
    assert boss.delete(path).status_code == 204


def test_each_change_is_in_the_audit_trail(site: Site, client: httpx.Client) -> None:
    webhook = registered(client)
    failed_job(site)
    path = f"/v1/webhooks/{webhook['id']}"
    [notice] = client.get(f"{path}/deliveries").json()["data"]
    client.post(f"{path}/rotate")
    client.post(f"{path}/deliveries/{notice['id']}/redeliver")
    client.delete(path)
    with site.database.read() as connection:
        trail = audit.page(connection, "acme")
    assert [each.action for each in trail if each.object == f"webhook:{webhook['id']}"] == [
        "webhook.create",
        "webhook.rotate",
        "webhook.redeliver",
        "webhook.delete",
    ]
    assert "whsec_" not in repr(trail)
