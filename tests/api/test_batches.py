"""Batches through OpenAI's own client, computed by a real worker."""

from __future__ import annotations

import base64
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types import Batch
from sqlalchemy import update

from millrace.access import audit
from millrace.db import tables
from millrace.front.openai.settling import settle
from millrace.lifecycle import jobs
from scheduler.finisher import Finisher
from tests.api.openai_site import (
    ENDPOINT,
    begin,
    client_of,
    compute,
    content_of,
    created,
    job_of,
    line,
    models,
    polled,
    read,
)
from tests.api.site import Site, serving
from tests.running import runner_of
from workers.child import ComputeChild
from workers.spawn import ComputeSettings


@pytest.fixture(scope="module")
def child() -> Iterator[ComputeChild]:
    """One for all tests: it takes seconds to start."""
    child = ComputeChild(ComputeSettings(device="cpu"))
    yield child
    child.kill()


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    with serving(
        database_url,
        tmp_path,
        files_root=str(tmp_path / "files"),
        openai_models=models(tmp_path),
        max_batch_requests=6_000,
    ) as opened:
        yield opened


@pytest.fixture
def client(site: Site) -> Iterator[openai.OpenAI]:
    with client_of(site) as opened:
        yield opened


def check_answers(client: openai.OpenAI, done: Batch) -> None:
    """The lines of the files of the batch below, field by field."""
    one, three = read(client, done.output_file_id)
    assert one["custom_id"] == "one"
    assert one["error"] is None
    assert one["response"]["status_code"] == 200
    assert one["response"]["body"] == {
        "object": "list",
        "data": [{"object": "embedding", "index": 0, "embedding": [6.0, 0.5]}],
        "model": "lengths",
        "usage": None,
    }
    assert three["custom_id"] == "ü:2:3"
    packed = [each["embedding"] for each in three["response"]["body"]["data"]]
    vectors = [struct.unpack("<2f", base64.b64decode(each)) for each in packed]
    assert vectors == [(5.0, 0.5), (13.0, 0.5), (4.0, 0.5)]
    errors = read(client, done.error_file_id)
    assert [each["custom_id"] for each in errors] == ["bad", "half"]
    for each in errors:
        assert each["response"] is None
        assert each["error"]["code"] == "predict_error"
        assert "a forbidden word" in each["error"]["message"]
    tokens = [each["id"] for each in (one, three, *errors)]
    assert len({*tokens}) == 4
    assert all(each.startswith("batch_req_") for each in tokens)


def test_a_batch_from_its_file_to_its_results(
    site: Site, client: openai.OpenAI, child: ComputeChild, tmp_path: Path
) -> None:
    made = created(
        client,
        line("one", "a text"),
        "",
        line("bad", "a forbidden text"),
        line("ü:2:3", ["short", "rather longer", "text"], encoding_format="base64", user="ana"),
        line("half", ["fine", "forbidden"]),
        metadata={"night": "1"},
    )
    assert (made.status, made.object, made.endpoint) == ("validating", "batch", ENDPOINT)
    assert made.model == "lengths"
    assert made.metadata == {"night": "1"}
    assert made.request_counts
    assert made.request_counts.to_dict() == {"total": 4, "completed": 0, "failed": 0}
    assert made.expires_at == made.created_at + 86_400

    compute(site, child, tmp_path, made)
    done = polled(client, made)
    assert (done.status, done.errors) == ("completed", None), done.errors
    assert done.request_counts
    assert done.request_counts.to_dict() == {"total": 4, "completed": 2, "failed": 2}
    assert done.completed_at
    assert done.in_progress_at
    assert done.finalizing_at
    assert done.failed_at is done.expired_at is done.cancelled_at is None

    check_answers(client, done)
    outputs = {each.id: each for each in client.files.list(purpose="batch_output")}
    assert outputs.keys() == {done.output_file_id, done.error_file_id}
    for file_id, file in outputs.items():
        assert len(client.files.content(file_id).content) == file.bytes
    assert done.output_file_id
    client.files.delete(done.output_file_id)
    client.files.delete(made.input_file_id)
    assert client.batches.retrieve(made.id) == done


def many(count: int, given: Any) -> list[Any]:
    return [line(f"{n}", given) for n in range(count)]


FAULTY: dict[str, tuple[list[Any], list[tuple[str, int | None, str | None]]]] = {
    "no JSON": ([line("a", "x"), "{"], [("invalid_json_line", 2, None)]),
    "no object": ([line("a", "x"), "[]"], [("invalid_json_line", 2, None)]),
    "no custom_id": (
        [{name: value for name, value in line("", "x").items() if name != "custom_id"}],
        [("missing_required_parameter", 1, "custom_id")],
    ),
    "custom_id twice": (
        [line("a", "x"), line("b", "x"), line("a", "y")],
        [("duplicate_custom_id", 3, "custom_id")],
    ),
    "an empty custom_id": ([line("", "x")], [("invalid_value", 1, "custom_id")]),
    "another method": ([line("a", "x", method="GET")], [("invalid_method", 1, "method")]),
    "another url": ([line("a", "x", url="/v1/completions")], [("invalid_url", 1, "url")]),
    "no model": ([line("a", "x", model=None)], [("invalid_value", 1, "body.model")]),
    "an unknown model": ([line("a", "x", model="gpt")], [("model_not_found", 1, "body.model")]),
    "two models": (
        [line("a", "x"), line("b", "x", model="echo")],
        [("mismatched_model", 2, "body.model")],
    ),
    "no text": ([line("a", "")], [("invalid_value", 1, "body.input")]),
    "no texts": ([line("a", [])], [("invalid_value", 1, "body.input")]),
    "an empty one among texts": ([line("a", ["x", ""])], [("invalid_value", 1, "body.input")]),
    "too many texts": ([line("a", ["x"] * 2_049)], [("invalid_value", 1, "body.input")]),
    "tokens": ([line("a", [1, 2])], [("unsupported_value", 1, "body.input")]),
    "lists of tokens": ([line("a", [[1], [2]])], [("unsupported_value", 1, "body.input")]),
    "dimensions": (
        [line("a", "x", dimensions=2)],
        [("unsupported_parameter", 1, "body.dimensions")],
    ),
    "an unknown parameter": ([line("a", "x", seed=1)], [("unknown_parameter", 1, "body.seed")]),
    "nothing": (["", "  "], [("empty_file", None, None)]),
    "too many requests": (many(6_001, "x"), [("too_many_tasks", None, None)]),
    "too many inputs": (many(4, ["x"] * 2_000), [("too_many_tasks", None, None)]),
    "several": (
        [line("a", "x", url="/x"), "{", line("a", "x", method="PUT"), line("a", "x")],
        [
            ("invalid_url", 1, "url"),
            ("invalid_json_line", 2, None),
            ("invalid_method", 3, "method"),
            ("duplicate_custom_id", 4, "custom_id"),
        ],
    ),
}


@pytest.mark.parametrize("kind", FAULTY)
def test_a_file_with_faults_makes_a_batch_that_has_failed(
    site: Site, client: openai.OpenAI, kind: str
) -> None:
    requests, expected = FAULTY[kind]
    made = created(client, *requests)
    assert made.status == "failed"
    assert made.failed_at
    assert made.request_counts
    assert made.request_counts.total == 0
    assert made.errors
    faults = made.errors.data or []
    assert [(each.code, each.line, each.param) for each in faults] == expected
    assert all(each.message for each in faults)
    assert client.batches.retrieve(made.id) == made
    assert site.client().get("/v1/jobs").json()["data"] == []
    stored = [each for each in (site.folder / "files").rglob("*") if each.is_file()]
    assert [each.name for each in stored] == [made.input_file_id]


def test_a_file_full_of_faults_is_not_told_to_its_end(client: openai.OpenAI) -> None:
    made = created(client, *["{"] * 5_000)
    assert made.errors
    assert [each.line for each in made.errors.data or []] == list(range(1, 101))


def test_orders_that_are_refused(site: Site, client: openai.OpenAI) -> None:
    file = client.files.create(file=("in.jsonl", content_of(line("a", "x"))), purpose="batch")
    right: dict[str, Any] = {
        "input_file_id": file.id,
        "endpoint": ENDPOINT,
        "completion_window": "24h",
    }
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"endpoint": "/v1/chat/completions"}, "no engine for /v1/chat/completions is registered"),
        ({"endpoint": "/v1/completions"}, "no engine for /v1/completions is registered"),
        ({"endpoint": "/v1/nothing"}, "there is no endpoint"),
        ({"completion_window": "soon"}, "not a duration"),
        ({"metadata": {f"{n}": "" for n in range(17)}}, "metadata"),
        ({"metadata": {"n": "x" * 513}}, "metadata"),
        ({"metadata": {"n" * 65: "x"}}, "metadata"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 3_600}}, "there is no field"),
    ]
    for changes, told in wrong:
        with pytest.raises(openai.BadRequestError, match=told) as refusal:
            client.batches.create(**right | changes)
        assert str(refusal.value.param).partition(".")[0] == next(iter(changes))
    with pytest.raises(openai.NotFoundError):
        client.batches.create(**right | {"input_file_id": "file-none"})
    assert [*client.batches.list()] == []


def test_pages(client: openai.OpenAI) -> None:
    ids = [created(client, line("a", "x")).id for _ in range(5)][::-1]
    page = client.batches.list(limit=2)
    told: Any = page
    assert (told.object, told.first_id, told.last_id) == ("list", ids[0], ids[1])
    assert page.has_more
    assert [each.id for each in client.batches.list(limit=2)] == ids
    last = client.batches.list(after=ids[3])
    assert ([each.id for each in last.data], last.has_more) == ([ids[4]], False)
    with pytest.raises(openai.BadRequestError, match="limit"):
        client.batches.list(limit=101)


def test_the_batches_of_another_are_not_there(site: Site, client: openai.OpenAI) -> None:
    made = created(client, line("a", "x"))
    with client_of(site, "zeta") as stranger:
        for ask in (stranger.batches.retrieve, stranger.batches.cancel):
            with pytest.raises(openai.NotFoundError) as refusal:
                ask(made.id)
            assert "acme" not in str(refusal.value)
        assert [*stranger.batches.list()] == []
    assert client.batches.retrieve(made.id).status == "validating"
    with client_of(site, "house", "admin") as boss:
        assert [each.id for each in boss.batches.list()] == [made.id]
        assert boss.batches.cancel(made.id).status in ("cancelling", "cancelled")


REQUESTS = 5_000


def half_done(site: Site, child: ComputeChild, tmp_path: Path, client: openai.OpenAI) -> Any:
    """A batch of several chunks, of which the first is computed; a request of it has failed."""
    texts = ["forbidden" if n == 7 else f"text {n}" for n in range(REQUESTS)]
    made = created(client, *(line(f"c{n}", text) for n, text in enumerate(texts)), window="30d")
    job_id = begin(site, made)
    assert runner_of(site.database, child, tmp_path, max_batch=1).run_due(job_id)
    running = client.batches.retrieve(made.id)
    assert running.status == "in_progress"
    assert running.request_counts
    assert running.request_counts.failed == 1
    assert 0 < running.request_counts.completed < REQUESTS - 1
    return running


def check_half(client: openai.OpenAI, batch: Any, code: str) -> None:
    """Every request is in one of the files: answered, failed, or not done."""
    output, errors = read(client, batch.output_file_id), read(client, batch.error_file_id)
    counts = batch.request_counts
    assert (counts.completed, counts.failed) == (len(output), len(errors))
    assert {each["custom_id"] for each in (*output, *errors)} == {f"c{n}" for n in range(REQUESTS)}
    assert len(output) + len(errors) == REQUESTS
    codes = {each["custom_id"]: each["error"]["code"] for each in errors}
    assert codes.pop("c7") == "predict_error"
    assert {*codes.values()} == {code}
    assert output[0]["response"]["body"]["data"][0]["embedding"] == [6.0, 0.5]


def test_what_is_done_before_a_batch_is_cancelled_is_kept(
    site: Site, client: openai.OpenAI, child: ComputeChild, tmp_path: Path
) -> None:
    batch = half_done(site, child, tmp_path, client)
    asked = client.batches.cancel(batch.id)
    assert asked.status == "cancelling"
    assert asked.cancelling_at
    ended = polled(client, batch)
    assert ended.status == "cancelled"
    assert ended.cancelled_at
    assert ended.cancelling_at == asked.cancelling_at
    check_half(client, ended, "batch_cancelled")
    assert client.batches.cancel(batch.id) == ended
    with site.database.read() as connection:
        done = [each.action for each in audit.page(connection, "acme")]
    assert done == ["key.create", "file.create", "batch.create", "batch.cancel"]


def test_what_is_done_before_a_batch_expires_is_kept(
    site: Site, client: openai.OpenAI, child: ComputeChild, tmp_path: Path
) -> None:
    batch = half_done(site, child, tmp_path, client)
    late = update(tables.job).where(tables.job.c.id == job_of(site, batch))
    with site.database.write() as connection:
        connection.execute(late.values(expires_at=1.0))
    Finisher(site.database, interval=1.0).tick(None)
    ended = polled(client, batch)
    assert ended.status == "expired"
    assert ended.expired_at
    check_half(client, ended, "batch_expired")
    with pytest.raises(openai.ConflictError, match="Cannot cancel a batch with status 'expired'"):
        client.batches.cancel(batch.id)


def test_where_no_request_succeeds_the_batch_fails_and_says_why(
    site: Site, client: openai.OpenAI, child: ComputeChild, tmp_path: Path
) -> None:
    made = created(client, line("a", "forbidden"))
    compute(site, child, tmp_path, made)
    ended = polled(client, made)
    assert (ended.status, ended.output_file_id) == ("failed", None)
    assert ended.errors
    assert [each.code for each in ended.errors.data or []] == ["all_rows_failed"]
    assert [each["custom_id"] for each in read(client, ended.error_file_id)] == ["a"]


def test_results_that_somebody_changed_are_not_handed_out(
    site: Site, client: openai.OpenAI, child: ComputeChild, tmp_path: Path
) -> None:
    made = created(client, line("a", "x"), line("b", "y"))
    compute(site, child, tmp_path, made)
    for part in (site.folder / "files").rglob("parts/*"):
        part.write_bytes(part.read_bytes().splitlines(keepends=True)[1])
    ended = polled(client, made)
    assert (ended.status, ended.output_file_id) == ("failed", None)
    assert ended.errors
    assert [each.code for each in ended.errors.data or []] == ["output_damaged"]


def test_a_batch_ends_once(
    site: Site, client: openai.OpenAI, child: ComputeChild, tmp_path: Path
) -> None:
    made = created(client, line("a", "x"))
    settings = site.app.state.settings
    assert not settle(site.database, settings, made.id)
    compute(site, child, tmp_path, made)
    assert settle(site.database, settings, made.id)
    assert not settle(site.database, settings, made.id)
    assert len([*client.files.list(purpose="batch_output")]) == 1


def test_of_several_who_end_a_batch_only_one_leaves_files(
    site: Site, client: openai.OpenAI, child: ComputeChild, tmp_path: Path
) -> None:
    made = created(client, line("a", "x"), line("b", "forbidden"))
    compute(site, child, tmp_path, made)
    together = threading.Barrier(4)

    def end(_: int) -> bool:
        together.wait(10)
        return settle(site.database, site.app.state.settings, made.id)

    with ThreadPoolExecutor(4) as pool:
        ended = [*pool.map(end, range(4))]
    assert sorted(ended) == [False, False, False, True]
    listed = {each.id for each in client.files.list()}
    assert len(listed) == 3
    assert {each.name for each in (site.folder / "files" / "tenant/acme/file").iterdir()} == listed


def test_a_job_that_is_taken_up_again_does_not_undo_the_end(
    site: Site, client: openai.OpenAI, child: ComputeChild, tmp_path: Path
) -> None:
    batch = half_done(site, child, tmp_path, client)
    client.batches.cancel(batch.id)
    ended = polled(client, batch)
    with site.database.write() as connection:
        jobs.retry(connection, job_of(site, batch))
    assert client.batches.retrieve(batch.id).status == ended.status
