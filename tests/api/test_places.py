"""B37 to B47: requests may name only storage of their tenant, and models of the operator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from millrace.access import tenants
from millrace.access.caller import operator
from tests.api.refusals import refused
from tests.api.site import Site, serving

NOT_ALLOWED = "URI_NOT_ALLOWED"

PLACES: dict[str, tuple[str, int, str]] = {
    "a path of the machine": ("/etc/passwd", 422, NOT_ALLOWED),
    "a URI of the machine": ("file:///etc/passwd", 422, NOT_ALLOWED),
    "a relative path": ("../../x", 422, NOT_ALLOWED),
    "a climbing path": ("{home}/../zeta/in", 422, NOT_ALLOWED),
    "an encoded climb": ("file://{home}/%2e%2e/zeta/in", 422, NOT_ALLOWED),
    "a climb encoded twice": ("file://{home}/%252e%252e/zeta/in", 422, NOT_ALLOWED),
    "a link that leads out": ("{home}/link", 422, NOT_ALLOWED),
    "below a link that leads out": ("{home}/link/0.jsonl", 422, NOT_ALLOWED),
    "the home of another": ("{folder}/zeta/in", 422, NOT_ALLOWED),
    "a name that begins alike": ("{home}2/in", 422, NOT_ALLOWED),
    "another prefix": ("s3://shared/zeta/in.jsonl", 422, NOT_ALLOWED),
    "a prefix that begins alike": ("s3://shared/acme2/in.jsonl", 422, NOT_ALLOWED),
    "a climbing key": ("s3://shared/acme/../zeta/x", 422, NOT_ALLOWED),
    "an encoded climbing key": ("s3://shared/acme/%2e%2e/zeta/x", 422, NOT_ALLOWED),
    "a backslash in a key": ("s3://shared/acme\\..\\zeta", 422, NOT_ALLOWED),
    "another bucket": ("s3://other/acme/x", 403, "BUCKET_NOT_ALLOWED"),
    "no bucket": ("s3://", 422, "URI_NO_BUCKET"),
    "bad bucket": ("s3://Shared_Bucket/acme", 422, NOT_ALLOWED),
    "upper case": ("S3://shared/acme/x", 422, "URI_SCHEME"),
    "http": ("http://169.254.169.254/latest/meta-data", 422, "URI_SCHEME"),
    "gopher": ("gopher://localhost:6379/_FLUSHALL", 422, "URI_SCHEME"),
    "jar": ("jar:file:///x!/y", 422, "URI_SCHEME"),
    "hdfs": ("hdfs://namenode/x", 422, "URI_SCHEME"),
    "credentials": ("s3://key:s3cret@shared/acme/x", 422, "URI_HOLDS_CREDENTIALS"),
    "signed": ("s3://shared/acme/x?X-Amz-Signature=s3cret", 422, "URI_HOLDS_CREDENTIALS"),
    "host": ("file://fileserver/x", 422, NOT_ALLOWED),
}


@pytest.fixture
def home(site: Site) -> Path:
    """The folder of acme, with a link to that of zeta."""
    site.order("zeta")
    site.order("acme")
    home = site.folder / "acme"
    (home / "link").symlink_to(site.folder / "zeta" / "in")
    with site.database.write() as connection:
        roots = [f"file://{home}", "s3://shared/acme"]
        tenants.allow(connection, operator("acme"), "acme", roots)
    return home


@pytest.mark.parametrize("field", ["input", "output"])
def test_a_place_that_is_not_the_tenants(
    site: Site, client: httpx.Client, home: Path, field: str, subtests: pytest.Subtests
) -> None:
    order = {"model": "echo", "input": f"{home}/in", "output": f"{home}/out"}
    for name, (place, status, code) in PLACES.items():
        asked = order | {field: place.format(home=home, folder=site.folder)}
        for path in ("/v1/jobs", "/v1/jobs?dry_run=true"):
            with subtests.test(f"{name} {path}"):
                answer = client.post(path, json=asked)
                refused(answer, status, code)
                assert "s3cret" not in answer.text
    assert client.get("/v1/jobs").json()["data"] == []
    assert sorted(each.name for each in home.iterdir()) == ["in", "link"]


def test_a_link_inside_a_folder_is_not_followed_out(
    client: httpx.Client, site: Site, home: Path
) -> None:
    (home / "in" / "1.jsonl").symlink_to(site.folder / "zeta" / "in" / "0.jsonl")
    for path in ("/v1/jobs", "/v1/jobs?dry_run=true"):
        for source in (f"{home}/in", f"{home}/in/*.jsonl", f"{home}/in/1.jsonl"):
            asked = {"model": "echo", "input": source, "output": f"{home}/out"}
            refused(client.post(path, json=asked), 422, NOT_ALLOWED)


def test_a_folder_of_the_settings_is_each_tenants_own(database_url: str, tmp_path: Path) -> None:
    for tenant in ("acme", "zeta"):
        (tmp_path / tenant).mkdir()
        (tmp_path / tenant / "rows.jsonl").write_text('{"id": 1}\n')
    with serving(database_url, tmp_path, storage_roots=[f"{tmp_path}/{{tenant}}"]) as site:
        client = site.client("acme")
        mine = {"model": "echo", "input": f"{tmp_path}/acme/rows.jsonl"}
        mine |= {"output": f"{tmp_path}/acme/out"}
        assert client.post("/v1/jobs", json=mine).status_code == 201
        theirs = mine | {"output": f"{tmp_path}/zeta/out"}
        refused(client.post("/v1/jobs", json=theirs), 422, NOT_ALLOWED)


def test_without_a_word_of_the_operator_nothing_may_be_named(site: Site, home: Path) -> None:
    asked = {"model": "echo", "input": f"{home}/in", "output": f"{home}/out"}
    refused(site.client("nobody").post("/v1/jobs", json=asked), 422, NOT_ALLOWED)


@pytest.fixture
def workshop(database_url: str, tmp_path: Path) -> Iterator[Site]:
    """A site that has models, and allows those that are code to who may."""
    models = tmp_path / "models"
    models.mkdir()
    (models / "predictor.py").write_text("class P: ...\n")
    (models / "net.pt2").write_text("weights")
    with serving(database_url, tmp_path, model_roots=[str(models)], unsafe_models=True) as opened:
        yield opened


def with_model(site: Site, model: str, **options: Any) -> dict[str, Any]:
    return site.order("acme", model=model, options=options)


def test_code_is_refused_unless_switched_on(site: Site) -> None:
    client = site.client("acme")
    for order in (
        with_model(site, "python:/models/predictor.py:P"),
        with_model(site, "torch:/models/net.safetensors", module="/models/predictor.py:P"),
    ):
        refused(client.post("/v1/jobs", json=order), 403, "MODEL_FORMAT_FORBIDDEN")


def test_code_is_refused_without_the_scope(workshop: Site) -> None:
    order = with_model(workshop, f"python:{workshop.folder}/models/predictor.py:P")
    for scopes in (("jobs:write",), ("admin",)):
        client = workshop.client("acme", *scopes)
        refused(client.post("/v1/jobs", json=order), 403, "MODEL_FORMAT_FORBIDDEN")
    told = workshop.client("acme", "jobs:write", "models:unsafe").post("/v1/jobs", json=order)
    assert told.status_code == 201, told.text


def test_models_lie_where_the_operator_put_them(workshop: Site) -> None:
    client = workshop.client("acme")
    models, home = workshop.folder / "models", workshop.home("acme")
    (home / "mine.pt2").write_text("weights")
    (models / "link.pt2").symlink_to(home / "mine.pt2")
    for place in (
        home / "mine.pt2",
        models / "link.pt2",
        models / ".." / "acme" / "mine.pt2",
        "net.pt2",
        "/etc/passwd",
    ):
        refused(
            client.post("/v1/jobs", json=with_model(workshop, f"torch:{place}")), 422, NOT_ALLOWED
        )
    outside = with_model(workshop, f"torch:{models}/net.pt2", module="/tmp/evil.py:Net")
    refused(client.post("/v1/jobs", json=outside), 422, NOT_ALLOWED)
    missing = with_model(workshop, f"torch:{models}/nothing.pt2")
    refused(client.post("/v1/jobs", json=missing), 404, "MODEL_NOT_FOUND")
    unknown = with_model(workshop, "telepathy:x")
    refused(client.post("/v1/jobs", json=unknown), 422, "UNKNOWN_ENGINE")
    right = client.post("/v1/jobs", json=with_model(workshop, f"torch:{models}/net.pt2"))
    assert right.status_code == 201, right.text


def test_places_that_are_no_files(site: Site, client: httpx.Client, home: Path) -> None:
    import os

    os.mkfifo(home / "pipe.jsonl")
    (home / "empty").mkdir()
    for place, code in (("pipe.jsonl", None), ("empty", "EMPTY_PREFIX"), ("no", "INPUT_NOT_FOUND")):
        asked = {"model": "echo", "input": f"{home}/{place}", "output": f"{home}/out"}
        answer = client.post("/v1/jobs", json=asked)
        refused(answer, 422, code or answer.json()["code"])


def test_an_output_that_is_taken_or_cannot_be(client: httpx.Client, home: Path) -> None:
    order = {"model": "echo", "input": f"{home}/in"}
    full = client.post("/v1/jobs", json=order | {"output": f"{home}/in/x"})
    refused(full, 422, "OUTPUT_OVERLAPS_INPUT")
    (home / "taken").mkdir()
    (home / "taken" / "file").write_text("x")
    taken = client.post("/v1/jobs", json=order | {"output": f"{home}/taken"})
    refused(taken, 409, "OUTPUT_EXISTS")
    below_a_file = client.post("/v1/jobs", json=order | {"output": f"{home}/taken/file/out"})
    refused(below_a_file, 422, "OUTPUT_NOT_WRITABLE")
