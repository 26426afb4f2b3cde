"""Files through OpenAI's own client, and what is refused of uploads."""

from __future__ import annotations

import hashlib
import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from millrace import storage
from millrace.errors import NotFound
from millrace.filing import files
from tests.api.openai_site import client_of
from tests.api.site import Site, serving
from tests.postgres import PostgresServer
from tests.waiting import until

CONTENT = b'{"custom_id": "a"}\n'


@pytest.fixture
def site(database_url: str, tmp_path: Path) -> Iterator[Site]:
    root = str(tmp_path / "files")
    with serving(database_url, tmp_path, files_root=root, max_file_bytes=100_000) as opened:
        yield opened


@pytest.fixture
def client(site: Site) -> Iterator[openai.OpenAI]:
    with client_of(site) as opened:
        yield opened


def put(client: openai.OpenAI, name: str = "in.jsonl", content: bytes = CONTENT) -> Any:
    return client.files.create(file=(name, content), purpose="batch")


def upload(site: Site, **form: Any) -> httpx.Response:
    return site.client().post("/v1/files", **form)


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The refusal in OpenAI's shape."""
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert "Traceback" not in answer.text
    return error


def test_a_file_from_its_upload_to_its_end(site: Site, client: openai.OpenAI) -> None:
    made = put(client, "über uns.jsonl")
    assert made.to_dict() == {
        "id": made.id,
        "object": "file",
        "bytes": len(CONTENT),
        "created_at": made.created_at,
        "expires_at": None,
        "filename": "über uns.jsonl",
        "purpose": "batch",
        "status": "processed",
        "status_details": None,
    }
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).content == CONTENT
    with site.database.read() as connection:
        kept = files.known(connection, made.id, tenant="acme")
    assert kept.sha256 == hashlib.sha256(CONTENT).hexdigest()
    stored = site.folder / "files" / "tenant" / "acme" / "file" / made.id
    assert stored.read_bytes() == CONTENT
    assert client.files.delete(made.id).to_dict() == {
        "id": made.id,
        "object": "file",
        "deleted": True,
    }
    assert not stored.exists()
    for ask in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError, match="there is no file"):
            ask(made.id)


def test_pages(client: openai.OpenAI) -> None:
    ids = [put(client, f"{n}.jsonl").id for n in range(5)]
    page = client.files.list(limit=2)
    assert [each.id for each in page.data] == [ids[4], ids[3]]
    told: Any = page
    assert (told.object, told.first_id, told.last_id) == ("list", ids[4], ids[3])
    assert page.has_more
    assert [each.id for each in client.files.list(limit=2)] == ids[::-1]
    assert [each.id for each in client.files.list(order="asc", limit=3)] == ids
    assert [each.id for each in client.files.list(purpose="batch")] == ids[::-1]
    assert [*client.files.list(purpose="batch_output")] == []
    last = client.files.list(after=ids[1])
    assert [each.id for each in last.data] == [ids[0]]
    assert not last.has_more
    with pytest.raises(openai.BadRequestError, match="limit"):
        client.files.list(limit=10_001)


def test_the_files_of_another_are_not_there(site: Site, client: openai.OpenAI) -> None:
    made = put(client)
    with client_of(site, "zeta") as stranger:
        for ask in (stranger.files.retrieve, stranger.files.content, stranger.files.delete):
            with pytest.raises(openai.NotFoundError) as refusal:
                ask(made.id)
            assert "acme" not in str(refusal.value)
        assert [*stranger.files.list()] == []
        with pytest.raises(openai.NotFoundError):
            stranger.batches.create(
                input_file_id=made.id, endpoint="/v1/embeddings", completion_window="24h"
            )
    with client_of(site, "house", "admin") as boss:
        assert [each.id for each in boss.files.list()] == [made.id]
    assert client.files.content(made.id).content == CONTENT


def test_keys_are_asked_for_before_the_body_is_read(site: Site) -> None:
    answer = site.anybody().post("/v1/files", files={"file": CONTENT}, data={"purpose": "batch"})
    assert refused(answer, 401, "auth_missing")["type"] == "authentication_error"
    reader = site.client("acme", "jobs:read")
    answer = reader.post("/v1/files", files={"file": CONTENT}, data={"purpose": "batch"})
    assert refused(answer, 403, "scope_required")["type"] == "permission_error"


FILE = ("in.jsonl", CONTENT)
FORMS: dict[str, tuple[dict[str, Any], int, str]] = {
    "no form": ({"json": {"purpose": "batch"}}, 415, "media_type"),
    "a plain form": ({"data": {"purpose": "batch"}}, 415, "media_type"),
    "no file": ({"files": {"purpose": (None, "batch")}}, 400, "field_missing"),
    "no purpose": ({"files": {"file": FILE}}, 400, "field_missing"),
    "another purpose": (
        {"files": {"file": FILE}, "data": {"purpose": "fine-tune"}},
        400,
        "field_invalid",
    ),
    "an empty file": (
        {"files": {"file": ("in.jsonl", b"")}, "data": {"purpose": "batch"}},
        400,
        "field_invalid",
    ),
    "two files": (
        {"files": [("file", FILE), ("file", FILE)], "data": {"purpose": "batch"}},
        400,
        "malformed",
    ),
    "purpose twice": (
        {"files": {"file": FILE}, "data": {"purpose": ["batch", "batch"]}},
        400,
        "parameter_twice",
    ),
    "an unknown field": (
        {"files": {"file": FILE}, "data": {"purpose": "batch", "expires_after[seconds]": "9"}},
        400,
        "unknown_field",
    ),
    "ten thousand fields": (
        {"files": {"file": FILE}, "data": {f"f{n}": "" for n in range(10_000)}},
        413,
        "body_too_large",
    ),
    "many fields": (
        {"files": {"file": FILE}, "data": {f"f{n}": "" for n in range(50)}},
        400,
        "malformed",
    ),
    "a huge field": (
        {"files": {"file": FILE}, "data": {"purpose": "batch" * 10_000}},
        400,
        "malformed",
    ),
    "a long name": (
        {"files": {"file": ("n" * 300, CONTENT)}, "data": {"purpose": "batch"}},
        400,
        "field_invalid",
    ),
    "a huge name": (
        {"files": {"file": ("n" * 50_000, CONTENT)}, "data": {"purpose": "batch"}},
        400,
        "malformed",
    ),
    "more than may be": (
        {"files": {"file": ("in.jsonl", b"x" * 100_001)}, "data": {"purpose": "batch"}},
        413,
        "file_too_large",
    ),
    "far more than may be": (
        {"files": {"file": ("in.jsonl", b"x" * 1_000_000)}, "data": {"purpose": "batch"}},
        413,
        "body_too_large",
    ),
    "a body that is no form inside": (
        {"content": b"nothing", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        400,
        "malformed",
    ),
    "no boundary": (
        {"content": b"nothing", "headers": {"Content-Type": "multipart/form-data"}},
        400,
        "malformed",
    ),
}


@pytest.mark.parametrize("kind", FORMS)
def test_uploads_that_are_refused(site: Site, kind: str) -> None:
    form, status, code = FORMS[kind]
    refused(upload(site, **form), status, code)
    assert site.client().get("/v1/files").json()["data"] == []
    assert not [each for each in (site.folder / "files").rglob("*") if each.is_file()]


def refusals(site: Site) -> float:
    """How many uploads this process has refused so far."""
    name = r'millrace_request_seconds_count\{method="POST",route="/v1/files",status="400"\} (.+)'
    found = re.search(name, site.client().get("/metrics").text)
    return float(found[1]) if found else 0.0


def test_an_upload_that_breaks_off_leaves_nothing(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    port = httpx.URL(site.base).port
    head = (
        "POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n"
        f"Authorization: Bearer {site.key()}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
        'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    )
    with socket.create_connection(("127.0.0.1", port or 0)) as connection:
        connection.sendall(head.encode() + b"x" * 10_000)
        before = refusals(site)
    until(lambda: refusals(site) > before, "the upload is refused")
    assert "not foreseen" not in caplog.text
    assert site.client().get("/v1/files").json()["data"] == []
    assert not (site.folder / "files").exists()


@pytest.mark.parametrize("after", ["\0", "file-1", "batch_" + "0" * 32])
def test_a_page_begins_behind_a_file_only(site: Site, after: str) -> None:
    answer = site.client().get("/v1/files", params={"after": after})
    assert refused(answer, 400, "field_invalid")["param"] == "after"


def test_names_never_become_paths(site: Site) -> None:
    form = {"files": {"file": ("../../../etc/passwd", CONTENT)}, "data": {"purpose": "batch"}}
    made = upload(site, **form).json()
    assert made["filename"] == "passwd"
    stored = [each for each in (site.folder / "files").rglob("*") if each.is_file()]
    assert [each.name for each in stored] == [made["id"]]


def test_files_lie_in_a_bucket(migrated_sqlite: Path, tmp_path: Path, bucket: str) -> None:
    file = shutil.copy(migrated_sqlite, tmp_path / "millrace.db")
    with (
        serving(f"sqlite:///{file}", tmp_path, files_root=f"{bucket}/millrace") as site,
        client_of(site) as client,
    ):
        made = put(client)
        uri = f"{bucket}/millrace/tenant/acme/file/{made.id}"
        assert storage.for_uri(uri).read(uri) == CONTENT
        assert client.files.content(made.id).content == CONTENT
        client.files.delete(made.id)
        with pytest.raises(NotFound):
            storage.for_uri(uri).info(uri)


def test_where_there_is_no_place_for_files(postgres_server: PostgresServer, tmp_path: Path) -> None:
    with postgres_server.database() as url, serving(url, tmp_path) as site:
        form: Any = {"files": {"file": FILE}, "data": {"purpose": "batch"}}
        told = refused(upload(site, **form), 403, "files_off")
        assert "files_root" in told["message"]


def test_a_body_of_json_stays_small(site: Site) -> None:
    """The limit of uploads is theirs alone."""
    body = {"input_file_id": "x" * (2 << 20)}
    refused(site.client().post("/v1/batches", json=body), 413, "body_too_large")
