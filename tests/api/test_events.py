"""Events as they happen, as any client of server-sent events reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from api.event_feed import EventFeed
from millrace.access.caller import Caller
from millrace.access.scopes import Scope
from millrace.db import tables
from millrace.front.tenant_view import TenantView
from millrace.lifecycle import events
from tests.api.refusals import refused
from tests.api.site import Site


class Listener:
    """Reads one event after the other."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines

    def next(self) -> dict[str, Any] | None:
        """The next event; none where the stream has ended."""
        found: dict[str, Any] = {}
        for line in self._lines:
            name, _, value = line.partition(": ")
            if name == "data":
                found = json.loads(value)
            if not line and found:
                return found
        return None


@contextmanager
def listening(client: httpx.Client, **query: Any) -> Iterator[Listener]:
    with client.stream("GET", "/v1/events", params=query) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        lines = answer.iter_lines()
        assert next(lines) == ": here we are"
        yield Listener(lines)


def test_a_job_is_followed_to_its_end(site: Site, client: httpx.Client) -> None:
    job = client.post("/v1/jobs", json=site.order()).json()["id"]
    with listening(client, job=job) as events:
        first = events.next()
        assert first is not None
        assert (first["job"], first["verb"], first["to_state"]) == (job, "submit", "validating")
        site.client("acme").post(f"/v1/jobs/{job}/cancel")
        told = [events.next() for _ in range(3)]
    assert [each and each["to_state"] for each in told] == ["cancelling", "cancelled", None]


def test_only_what_is_new_is_told_of_all_jobs(site: Site, client: httpx.Client) -> None:
    old = client.post("/v1/jobs", json=site.order()).json()["id"]
    foreign = site.client("zeta")
    with listening(client) as events:
        foreign.post("/v1/jobs", json=site.order("zeta"))
        site.client("acme").post(f"/v1/jobs/{old}/cancel")
        first = events.next()
    assert first is not None
    assert (first["job"], first["verb"]) == (old, "cancel")


def test_who_comes_back_goes_on_where_he_was(site: Site, client: httpx.Client) -> None:
    job = client.post("/v1/jobs", json=site.order()).json()["id"]
    client.post(f"/v1/jobs/{job}/cancel")
    with listening(client, job=job) as events:
        whole = [events.next() for _ in range(3)]
    assert all(whole)
    assert whole[0] is not None
    client.headers["Last-Event-ID"] = str(whole[0]["id"])
    with listening(client, job=job) as events:
        assert [events.next() for _ in range(3)] == [*whole[1:], None]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("after=-1", "FIELD_INVALID"),
        ("after=x", "FIELD_INVALID"),
        ("jobs=1", "UNKNOWN_FIELD"),
        ("job=a&job=b", "PARAMETER_TWICE"),
        (f"after={1 << 63}", "FIELD_INVALID"),
    ],
)
def test_what_cannot_be_listened_to(client: httpx.Client, query: str, code: str) -> None:
    refused(client.get(f"/v1/events?{query}"), 422, code)


def test_nothing_is_told_twice_and_nothing_left_out(site: Site, client: httpx.Client) -> None:
    """An event whose transaction ends late has a smaller id than some that were told before."""
    job = client.post("/v1/jobs", json=site.order()).json()["id"]
    caller = Caller("acme", frozenset({Scope.JOBS_READ}), "k")
    feed = EventFeed(TenantView(site.database, site.app.state.settings, caller), 0)
    with site.database.write() as connection:
        for _ in range(3):
            events.record(connection, job, "test", None, "test")
        late = events.newest(connection, job) - 1
        moved = update(tables.event).where(tables.event.c.id == late)
        connection.execute(moved.values(id=late + 1_000))
    first = [each.id for each in feed.fresh()]
    with site.database.write() as connection:
        back = update(tables.event).where(tables.event.c.id == late + 1_000)
        connection.execute(back.values(id=late))
    assert [each.id for each in feed.fresh()] == [late]
    assert feed.fresh() == []
    assert late not in first


def test_what_is_settled_is_not_read_again(site: Site, client: httpx.Client) -> None:
    job = client.post("/v1/jobs", json=site.order()).json()["id"]
    caller = Caller("acme", frozenset({Scope.JOBS_READ}), "k")
    feed = EventFeed(TenantView(site.database, site.app.state.settings, caller), 0)
    with site.database.write() as connection:
        for at in range(0, 100, 5):
            events.record(connection, job, "test", None, "test", now=1e10 + at)
    assert len(feed.fresh()) == 21
    assert feed.remembered <= 3
    assert feed.fresh() == []
