"""Two tenants: whatever one asks of the other's jobs, there are none."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from millrace.access import tenants
from millrace.access.caller import Caller, operator
from millrace.access.scopes import Scope
from millrace.db import tables
from millrace.db.session import Database
from millrace.db.tables import METADATA
from millrace.front.tenant_view import TenantView
from millrace.types import JobState
from tests.api.jobs import in_state
from tests.api.refusals import refused
from tests.api.site import EVERYTHING, Site

_MOVES_BY_ITSELF = {"api_key"}
"""Keys note their last use."""


def everything(database: Database) -> dict[str, list[Any]]:
    """All rows there are."""
    with database.read() as connection:
        return {
            name: sorted(map(repr, connection.execute(select(table))))
            for name, table in METADATA.tables.items()
            if name not in _MOVES_BY_ITSELF
        }


def operations(site: Site) -> list[tuple[str, str]]:
    """Each operation on one job, from the document of the application."""
    found = [
        (method.upper(), path)
        for path, methods in site.app.openapi()["paths"].items()
        for method in methods
        if "{job_id}" in path
    ]
    assert len(found) >= 8
    return found


@pytest.fixture
def secret(site: Site) -> str:
    """A job of acme's."""
    client = site.client("acme")
    job: str = client.post("/v1/jobs", json=site.order("acme")).json()["id"]
    return job


@pytest.mark.parametrize("scopes", [EVERYTHING, ("jobs:read", "jobs:write")])
def test_the_job_of_another_is_not_found_and_not_touched(
    site: Site, secret: str, scopes: tuple[str, ...]
) -> None:
    site.home("zeta")
    stranger = site.client("zeta", *scopes)
    before = everything(site.database)
    for method, path in operations(site):
        answer = stranger.request(method, path.format(job_id=secret))
        told = refused(answer, 404, "JOB_NOT_FOUND")
        absent = stranger.request(method, path.format(job_id="0" * 32))
        known = (told["detail"].replace(secret, "0" * 32), told["hint"])
        assert known == (absent.json()["detail"], absent.json()["hint"])
        assert "acme" not in f"{answer.text}{answer.headers}"
    refused(stranger.get("/v1/events", params={"job": secret}), 404, "JOB_NOT_FOUND")
    assert stranger.get("/v1/jobs").json()["data"] == []
    assert everything(site.database) == before


def test_the_output_of_another_does_not_say_whose_it_is(site: Site, secret: str) -> None:
    shared = {"input": f"{site.home('acme')}/in", "output": f"{site.home('acme')}/out"}
    order = site.order("acme") | shared
    with site.database.write() as connection:
        tenants.allow(connection, operator("zeta"), "zeta", [f"file://{site.folder}/acme"])
    stranger = site.client("zeta")
    before = everything(site.database)
    for asked in (order, order | {"join": "none"}):
        answer = stranger.post("/v1/jobs", json=asked)
        refused(answer, 409, "OUTPUT_EXISTS")
        assert secret not in answer.text
    assert everything(site.database) == before


def test_results_that_were_deleted_free_their_place_for_their_own_tenant_only(site: Site) -> None:
    done = in_state(site, JobState.SUCCEEDED)
    asked, shared = site.order("acme"), site.home("acme")
    own_place = update(tables.job).where(tables.job.c.id == done)
    with site.database.write() as connection:
        connection.execute(own_place.values(output_uri=f"file://{shared}/out"))
        tenants.allow(connection, operator("zeta"), "zeta", [f"file://{shared}"])
    stranger = site.client("zeta")
    before = everything(site.database)
    refused(stranger.post("/v1/jobs", json=asked), 409, "OUTPUT_EXISTS")
    assert everything(site.database) == before
    assert site.client("acme").post("/v1/jobs", json=asked).status_code == 201


def test_events_of_another_are_not_told(site: Site, secret: str) -> None:
    def told(*scopes: Scope, tenant: str) -> list[str]:
        caller = Caller(tenant, frozenset(scopes), "k")
        view = TenantView(site.database, site.app.state.settings, caller)
        return [each.job_id for each in view.events(after=0, limit=10)]

    assert told(Scope.JOBS_READ, tenant="acme") == [secret]
    assert told(Scope.JOBS_READ, tenant="zeta") == []
    assert told(Scope.ADMIN, tenant="zeta") == [secret]


def test_an_administrator_sees_and_steers_all(site: Site, secret: str) -> None:
    boss: httpx.Client = site.client("house", "admin")
    assert [job["id"] for job in boss.get("/v1/jobs").json()["data"]] == [secret]
    assert boss.post(f"/v1/jobs/{secret}/cancel").json()["state"] == "cancelled"


def test_no_metric_names_a_tenant(site: Site, secret: str) -> None:
    told = site.client("zeta").get("/metrics").text
    assert 'millrace_jobs{state="validating"} 1.0' in told
    assert "acme" not in told
