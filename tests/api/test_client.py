"""`millrace.Client` and `millrace.AsyncClient`: the same answers and errors, against a real API."""

from __future__ import annotations

import asyncio
import inspect
import json
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from millrace import AsyncClient, Client, JobRequest
from millrace.db.session import Database
from millrace.errors import (
    AccessDenied,
    Conflict,
    FieldInvalid,
    InvalidInput,
    MillraceError,
    NotFound,
    Unavailable,
    UsageError,
)
from millrace.lifecycle import jobs
from millrace.types import JobId, JobState
from tests.api.jobs import in_state
from tests.api.site import Realm, Site
from tests.api.test_health import served
from tests.lifecycle import stage
from tests.servers.ports import free_port
from tests.servers.scripted import Answer, scripted
from tests.waiting import until

UNKNOWN = "0" * 32
KEY = "mr_key"


class Awaited:
    """An `AsyncClient` without the waiting, so that one test can be of both."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._runner = asyncio.Runner()
        try:
            self._client = self._runner.run(self._made(*args, **options))
        except MillraceError:
            self._runner.close()
            raise

    @staticmethod
    async def _made(*args: Any, **options: Any) -> AsyncClient:
        return AsyncClient(*args, **options)

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._client, name)
        return self._called(member) if callable(member) else member

    def _called(self, member: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            found = member(*args, **options)
            if inspect.isasyncgen(found):
                return self._each(found)
            return self._runner.run(found)

        return call

    def _each(self, found: AsyncIterator[Any]) -> Iterator[Any]:
        async def following() -> Any:
            return await anext(found)

        while True:
            try:
                yield self._runner.run(following())
            except StopAsyncIteration:
                return

    def done(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()


Open = Callable[..., Any]


@pytest.fixture(params=[Client, AsyncClient], ids=["sync", "async"])
def open_client(request: pytest.FixtureRequest) -> Iterator[Open]:
    """Makes a client of either kind, to be used as if there were but one."""
    opened: list[Any] = []

    def make(url: str, key: str = KEY, **options: Any) -> Any:
        kind = Client if request.param is Client else Awaited
        opened.append(kind(url, key, **options))
        return opened[-1]

    yield make
    for each in opened:
        each.done() if isinstance(each, Awaited) else each.close()


@pytest.fixture
def asked(site: Site) -> JobRequest:
    return JobRequest(**site.order())


def refusal(error: type[MillraceError], call: Callable[[], Any]) -> MillraceError:
    with pytest.raises(error) as raised:
        call()
    return raised.value


def test_a_job_is_handed_in_looked_at_and_steered(
    site: Site, open_client: Open, asked: JobRequest
) -> None:
    client = open_client(site.base, site.key())
    assert (client.me().tenant, client.workers()) == ("acme", [])
    assert client.forecast(asked).rows_looked_at == 10
    assert list(client.jobs()) == []

    job = client.submit(asked)

    assert (job.state, client.show(job.id), client.page().data) == (
        JobState.VALIDATING,
        job,
        [job],
    )
    assert list(client.results(job.id)) == list(client.errors(job.id)) == []
    assert [each.verb for each in client.history(job.id).data] == ["submit"]
    assert refusal(Conflict, lambda: client.pause(job.id)).exit_code == 6
    assert refusal(Conflict, lambda: client.manifest(job.id)).code == "NOT_READY"
    assert client.cancel(job.id).state == client.wait(job.id).state == JobState.CANCELLED
    assert client.retry(job.id).state == JobState.VALIDATING


def test_one_key_is_one_job(site: Site, open_client: Open, asked: JobRequest) -> None:
    client = open_client(site.base, site.key())
    job = client.submit(asked, idempotency_key="nightly")
    assert client.submit(asked, idempotency_key="nightly").id == job.id
    other = asked.model_copy(update={"priority": 9})
    told = refusal(Conflict, lambda: client.submit(other, idempotency_key="nightly"))
    assert (told.code, told.exit_code) == ("IDEMPOTENCY_MISMATCH", 6)


def test_all_jobs_are_found_over_pages(site: Site, open_client: Open) -> None:
    with site.database.write() as connection:
        specs = (stage.spec(f"file:///out/{number}") for number in range(103))
        ids = {jobs.submit(connection, spec, tenant="acme") for spec in specs}
    in_state(site, JobState.PAUSED)
    client = open_client(site.base, site.key())
    found = [job.id for job in client.jobs(states=[JobState.VALIDATING])]
    assert (len(found), set(found)) == (103, ids)


def test_what_is_refused_is_the_error_that_it_is(
    site: Site, open_client: Open, asked: JobRequest
) -> None:
    client = open_client(site.base, site.key())
    told = refusal(NotFound, lambda: client.show(UNKNOWN))
    assert (told.code, told.exit_code, bool(told.hint)) == ("JOB_NOT_FOUND", 4, True)
    assert refusal(NotFound, lambda: client.show("../../v1/me")).exit_code == 4
    assert refusal(NotFound, lambda: client.wait(UNKNOWN)).exit_code == 4
    elsewhere = asked.model_copy(update={"input": "/etc/passwd"})
    assert refusal(InvalidInput, lambda: client.submit(elsewhere)).code == "URI_NOT_ALLOWED"
    odd = asked.model_copy(update={"priority": 77})
    told = refusal(FieldInvalid, lambda: client.submit(odd))
    assert (told.exit_code, "priority" in told.message) == (3, True)
    unsure = refusal(UsageError, lambda: client.retry(in_state(site, JobState.FAILED), output="/x"))
    assert unsure.exit_code == 2
    stranger = open_client(site.base, "mr_nobody")
    assert refusal(AccessDenied, stranger.me).exit_code == 5
    reader = open_client(site.base, site.key("acme", "jobs:read"))
    assert refusal(AccessDenied, lambda: reader.cancel(UNKNOWN)).code == "SCOPE_REQUIRED"


def test_waiting_ends_with_the_job_and_not_a_look_later(
    site: Site, open_client: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millrace.client.plays._POLL_SECONDS", 600.0)
    monkeypatch.setattr("millrace.client.plays._LISTEN_SECONDS", 600.0)
    client = open_client(site.base, site.key())
    job_id = JobId(in_state(site, JobState.RUNNING))
    told: list[Any] = []
    waiting = threading.Thread(target=lambda: told.append(client.wait(job_id)))
    waiting.start()
    with site.database.write() as connection:
        jobs.fail(connection, job_id, "TEST", "enough")
    waiting.join(20)
    assert [job.state for job in told] == [JobState.FAILED]


def test_waiting_has_an_end_of_its_own(site: Site, open_client: Open) -> None:
    client = open_client(site.base, site.key())
    with pytest.raises(TimeoutError, match="running"):
        client.wait(in_state(site, JobState.RUNNING), timeout=0.2)


def test_where_events_do_not_come_through_the_job_is_looked_at(
    site: Site, open_client: Open
) -> None:
    client = open_client(site.base, site.key())
    job = client.show(in_state(site, JobState.RUNNING))
    ended = job.model_copy(update={"state": JobState.SUCCEEDED})
    page = Answer(404, b"<html>no such page</html>")
    shown = [Answer(200, each.model_dump_json().encode()) for each in (job, ended)]
    with scripted(shown[0], page, shown[1]) as server:
        assert open_client(server.url).wait(job.id).state == JobState.SUCCEEDED
        assert [path.partition("?")[0] for path, _ in server.asked] == [
            f"/v1/jobs/{job.id}",
            "/v1/events",
            f"/v1/jobs/{job.id}",
        ]


def test_events_of_a_job_end_with_it(site: Site, open_client: Open) -> None:
    client = open_client(site.base, site.key())
    job_id = in_state(site, JobState.CANCELLED)
    seen = list(client.events(job_id))
    assert seen[-1].ends_job
    assert [each.id for each in seen] == sorted(each.id for each in seen)


def busy(seconds: int) -> Answer:
    return Answer(503, b"<html>busy</html>", {"Retry-After": str(seconds)})


def test_a_server_that_is_busy_is_asked_again_when_it_says(
    site: Site, open_client: Open, asked: JobRequest
) -> None:
    job = open_client(site.base, site.key()).submit(asked)
    fine = Answer(201, job.model_dump_json().encode())
    with scripted(busy(1), Answer(0), Answer(502, b"<html>bad gateway</html>"), fine) as server:
        began = time.monotonic()
        assert open_client(server.url).submit(asked).id == job.id
        assert time.monotonic() - began >= 1.0
        keys = {headers["Idempotency-Key"] for _, headers in server.asked}
        assert (len(server.asked), len(keys)) == (4, 1)


def test_patience_has_an_end(open_client: Open) -> None:
    with scripted(busy(5)) as server:
        told = refusal(Unavailable, open_client(server.url, patience=1.0).me)
        assert (told.code, told.exit_code, len(server.asked)) == ("SERVER_UNAVAILABLE", 7, 1)
    nobody = open_client(f"http://127.0.0.1:{free_port()}", patience=0.5)
    assert refusal(Unavailable, nobody.me).code == "SERVER_UNREACHABLE"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, b"<html>welcome</html>"),
        Answer(404, b"not here"),
        Answer(302, b"", {"Location": "https://login.example/"}),
        Answer(400, b'{"code": "MINE"}'),
    ],
)
def test_a_server_that_is_none_of_ours(open_client: Open, answer: Answer) -> None:
    with scripted(answer) as server:
        told = refusal(InvalidInput, open_client(server.url).me)
        assert (told.code, len(server.asked)) == ("NOT_MILLRACE", 1)
        assert KEY not in str(told)


def test_rows_that_break_off_are_never_taken_for_all(open_client: Open) -> None:
    with scripted(Answer(200, b'{"id": 1}\n{"id": 2}\n{"i', promised=999)) as server:
        rows = open_client(server.url).results(UNKNOWN)
        assert [next(rows), next(rows)] == [{"id": 1}, {"id": 2}]
        assert refusal(Unavailable, lambda: next(rows)).code == "ANSWER_BROKEN"


def test_rows_are_cut_at_line_breaks_alone(open_client: Open) -> None:
    texts = ["a\u2028b", "\x0b\x85", "é" * 100_000]
    body = "\n".join(json.dumps({"text": each}, ensure_ascii=False) for each in texts)
    with scripted(Answer(200, body.encode())) as server:
        assert [row["text"] for row in open_client(server.url).results(UNKNOWN)] == texts


@pytest.mark.parametrize("url", ["", "127.0.0.1:8080", "ftp://x", "http://", "http://h:99999"])
def test_an_address_that_cannot_be(open_client: Open, url: str) -> None:
    told = refusal(UsageError, lambda: open_client(url))
    assert (told.exit_code, "MILLRACE_URL" in told.hint) == (2, True)


def test_a_key_that_is_missing(open_client: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILLRACE_API_KEY", raising=False)
    assert refusal(AccessDenied, lambda: open_client("http://h", "")).code == "AUTH_MISSING"


def test_killed_between_commit_and_answer_the_job_is_the_same(
    environment: dict[str, str],
    database_url: str,
    database: Database,
    tmp_path: Path,
    open_client: Open,
) -> None:
    realm = Realm(database, tmp_path)
    asked, key = JobRequest(**realm.order()), realm.key()
    fatal = environment | {"MILLRACE_FAILPOINTS": "api.after_commit=kill"}
    told: list[Any] = []
    with served(fatal, database_url) as (api, base):
        client = open_client(base, key, patience=60.0)
        submitting = threading.Thread(target=lambda: told.append(client.submit(asked)))
        submitting.start()
        assert api.wait(20) == -signal.SIGKILL
    with served(environment, database_url, port=int(base.rpartition(":")[2])) as (_, again):
        submitting.join(40)
        until(lambda: told, "the client has its answer")
        listed = list(open_client(again, key).jobs())
    assert [job.id for job in listed] == [told[0].id]
