"""B1 to B3: who comes in, and who does not."""

from __future__ import annotations

import logging

import pytest

from millrace.access import keys
from millrace.access.caller import operator
from millrace.access.key_text import KeyText
from tests.api.refusals import refused
from tests.api.site import Site
from tests.waiting import until


def test_nobody_comes_in_without_a_key(site: Site) -> None:
    for headers in ({}, {"Authorization": "Basic bWU6cw=="}, {"Authorization": "Bearer"}):
        answer = site.anybody(**headers).get("/v1/jobs")
        assert "Authorization: Bearer" in refused(answer, 401, "AUTH_MISSING")["hint"]
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_all_wrong_keys_look_alike(site: Site) -> None:
    right = site.key()
    revoked, expired = site.key(), site.key(lifetime=1e-3)
    with site.database.write() as connection:
        keys.revoke(connection, operator("acme"), revoked.split("_")[1])
    half = KeyText.read(right)
    assert half is not None
    wrong_secret = KeyText(half.id, KeyText.new().secret).written()
    unknown = KeyText.new().written()
    typed = ["nonsense", "mr_~", right[:-1], unknown, wrong_secret, revoked, expired]
    told = []
    for each in typed:
        answer = site.anybody(Authorization=f"Bearer {each}").get("/v1/jobs")
        problem = refused(answer, 401, "AUTH_INVALID")
        told.append((problem["detail"], problem["hint"]))
    assert len(set(told)) == 1
    assert site.anybody(Authorization=f"Bearer {right}").get("/v1/jobs").status_code == 200


def test_a_key_is_revoked_at_once(site: Site) -> None:
    text = site.key()
    client = site.anybody(Authorization=f"Bearer {text}")
    assert client.get("/v1/me").status_code == 200
    with site.database.write() as connection:
        keys.revoke(connection, operator("acme"), text.split("_")[1])
    refused(client.get("/v1/me"), 401, "AUTH_INVALID")


def test_a_missing_scope_is_named(site: Site) -> None:
    reader = site.client("acme", "jobs:read")
    assert reader.get("/v1/jobs").status_code == 200
    told = refused(reader.post("/v1/jobs", json=site.order()), 403, "SCOPE_REQUIRED")
    assert "jobs:write" in told["detail"]


def test_a_key_knows_whose_it_is(site: Site) -> None:
    me = site.client("acme", "jobs:read", "jobs:write").get("/v1/me").json()
    assert (me["tenant"], me["scopes"]) == ("acme", ["jobs:read", "jobs:write"])


def test_the_last_use_is_remembered(site: Site) -> None:
    site.client("acme").get("/v1/me")

    def noted() -> bool:
        with site.database.read() as connection:
            (view,) = keys.views(connection)
        return view.last_used_at is not None

    until(noted, "the use is noted")


def test_no_log_holds_a_key(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    text = site.key()
    for typed in (text, text[:-1]):
        site.anybody(Authorization=f"Bearer {typed}").get("/v1/jobs")
    # what the client of this test logs of its own headers is not ours
    ours = [each for each in caplog.records if not each.name.startswith(("httpcore", "httpx"))]
    assert any(each.name == "uvicorn.access" for each in ours)
    assert not [each for each in ours if text.split("_")[2] in each.getMessage()]
