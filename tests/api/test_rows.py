"""Results and errors while a job runs and afterwards, through a real compute process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.pool import QueuePool

from millrace.access import audit, tenants
from millrace.access.caller import Caller, operator
from millrace.access.scopes import Scope
from millrace.front.tenant_view import TenantView
from millrace.lifecycle import jobs
from millrace.types import JobId, JobState
from scheduler.planner import Planner
from tests import jobs as stage
from tests.api.refusals import refused
from tests.api.site import Site
from tests.running import carry_out, runner_of
from workers.child import ComputeChild
from workers.spawn import ComputeSettings

ROWS = 30


@pytest.fixture(scope="module")
def child() -> Iterator[ComputeChild]:
    """One for all tests: it takes seconds to start."""
    child = ComputeChild(ComputeSettings(device="cpu"))
    yield child
    child.kill()


@pytest.fixture
def half_way(site: Site, client: httpx.Client, child: ComputeChild, tmp_path: Path) -> JobId:
    """A job of three chunks of which the first is done; one row of it is bad."""
    order = site.order(rows=ROWS, chunk_rows=10, options={"scripted": True}, join="key", key="id")
    stage.written(site.home("acme"), stage.texts(ROWS, _3="::raise"))
    job_id = JobId(client.post("/v1/jobs", json=order).json()["id"])
    Planner(site.database, slots=1, interval=1.0).tick(0.0)
    with site.database.write() as connection:
        assert jobs.start(connection, job_id)
    assert runner_of(site.database, child, tmp_path, max_batch=1).run_due(job_id)
    return job_id


def lines(answer: httpx.Response) -> list[dict[str, object]]:
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_what_is_done_can_be_read_at_any_time(
    site: Site, client: httpx.Client, child: ComputeChild, tmp_path: Path, half_way: JobId
) -> None:
    path = f"/v1/jobs/{half_way}"
    answer = client.get(f"{path}/results")
    assert answer.headers["X-Incomplete"] == "true"
    first = lines(answer)
    assert 0 < len(first) < ROWS - 1
    errors = client.get(f"{path}/errors")
    assert (errors.headers["X-Incomplete"], [each["row"] for each in lines(errors)]) == (
        "true",
        [3],
    )
    assert client.get(path).json()["rows"] == len(first) + 1

    carry_out(site.database, runner_of(site.database, child, tmp_path), half_way)
    assert client.get(path).json()["state"] == "partial"
    answer = client.get(f"{path}/results")
    assert answer.headers["X-Incomplete"] == "false"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    whole = lines(answer)
    assert [each["id"] for each in whole] == [n for n in range(ROWS) if n != 3]
    assert whole[: len(first)] == first
    assert [each["row"] for each in lines(client.get(f"{path}/errors"))] == [3]

    manifest = client.get(f"{path}/manifest")
    assert manifest.content == (site.home("acme") / "out" / "_MANIFEST.json").read_bytes()
    dry = client.post("/v1/jobs?dry_run=true", json=site.order(output=f"{site.home('acme')}/new"))
    assert dry.json()["from_jobs"] == 1
    assert dry.json()["seconds_about"] > 0


def test_a_manifest_that_is_not_ours_any_more(
    site: Site, client: httpx.Client, child: ComputeChild, tmp_path: Path, half_way: JobId
) -> None:
    carry_out(site.database, runner_of(site.database, child, tmp_path), half_way)
    assert stage.seen(site.database, half_way).state is JobState.PARTIAL
    (site.home("acme") / "out" / "_MANIFEST.json").write_text("{}")
    refused(client.get(f"/v1/jobs/{half_way}/manifest"), 409, "OUTPUT_DAMAGED")


def test_a_part_that_is_gone_is_told(site: Site, client: httpx.Client, half_way: JobId) -> None:
    for part in (site.home("acme") / "out" / "parts").iterdir():
        part.unlink()
    answer = client.get(f"/v1/jobs/{half_way}/results")
    assert answer.status_code in (404, 409, 422), answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_a_slow_reader_keeps_no_transaction_open(site: Site, half_way: JobId) -> None:
    caller = Caller("acme", frozenset({Scope.JOBS_READ}), "k")
    view = TenantView(site.database, site.app.state.settings, caller)
    pool = site.database._engine.pool
    assert isinstance(pool, QueuePool)
    for read in (view.results, view.errors):
        _, rows = read(half_way)
        assert next(rows)
        assert pool.checkedout() == 0


def test_nothing_is_done_yet(site: Site, client: httpx.Client) -> None:
    job = client.post("/v1/jobs", json=site.order()).json()["id"]
    for kind in ("results", "errors"):
        answer = client.get(f"/v1/jobs/{job}/{kind}")
        assert (answer.status_code, answer.text, answer.headers["X-Incomplete"]) == (
            200,
            "",
            "true",
        )


def partial_job(site: Site, tenant: str, child: ComputeChild, tmp_path: Path) -> dict[str, Any]:
    """A published job with one error row, of a tenant that may name its input and output only."""
    folder = tmp_path / tenant
    folder.mkdir()
    stage.written(folder, stage.texts(ROWS, _3="::raise"))
    with site.database.write() as connection:
        roots = [f"file://{folder}/in", f"file://{folder}/out"]
        tenants.allow(connection, operator(tenant), tenant, roots)
    order: dict[str, Any] = {"model": "echo", "input": f"{folder}/in"}
    order |= {"output": f"{folder}/out/first"}
    order |= {"chunk_rows": 10, "options": {"scripted": True}, "join": "key", "key": "id"}
    answer = site.client(tenant).post("/v1/jobs", json=order)
    assert answer.status_code == 201, answer.text
    job_id = JobId(answer.json()["id"])
    Planner(site.database, slots=1, interval=1.0).tick(0.0)
    with site.database.write() as connection:
        assert jobs.start(connection, job_id)
    carry_out(site.database, runner_of(site.database, child, tmp_path), job_id)
    job: dict[str, Any] = site.client(tenant).get(f"/v1/jobs/{job_id}").json()
    assert job["state"] == "partial"
    return job


def test_error_rows_are_retried_by_another_job(
    site: Site, child: ComputeChild, tmp_path: Path
) -> None:
    job = partial_job(site, "acme", child, tmp_path)
    client, path = site.client("acme"), f"/v1/jobs/{job['id']}/retry"
    refused(site.client("other").post(path, json={"errors": True}), 404, "JOB_NOT_FOUND")
    for outside in (f"{tmp_path}/elsewhere", f"{tmp_path}/acme/out-2", "out", "s3://other/out"):
        answer = client.post(path, json={"errors": True, "output": outside})
        assert answer.json()["code"] in ("URI_NOT_ALLOWED", "BUCKET_NOT_ALLOWED"), answer.text
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "acme" / "out-2").exists()

    answer = client.post(path, json={"errors": True})

    child_job = answer.json()
    assert answer.status_code == 201, answer.text
    assert answer.headers["Location"] == f"/v1/jobs/{child_job['id']}"
    assert (child_job["retry_of"], child_job["tenant"]) == (job["id"], "acme")
    assert child_job["output"].endswith("/out/first-retry-1")
    again = client.post(path, json={"errors": True})
    assert (again.status_code, again.json()["id"]) == (200, child_job["id"])
    with site.database.read() as connection:
        written = [each for each in audit.page(connection, "acme") if each.action == "job.retry"]
    assert written[0].object == f"job:{job['id']}"
    assert written[0].detail == {"by": child_job["id"]}
    assert written[0].key_id is not None


def test_a_folder_that_nobody_named_is_looked_at_too(
    site: Site, child: ComputeChild, tmp_path: Path
) -> None:
    job = partial_job(site, "narrow", child, tmp_path)
    output = Path(job["output"].removeprefix("file://"))
    with site.database.write() as connection:
        tenants.allow(connection, operator("narrow"), "narrow", [job["output"]])
    answer = site.client("narrow").post(f"/v1/jobs/{job['id']}/retry", json={"errors": True})
    refused(answer, 422, "URI_NOT_ALLOWED")
    assert not output.with_name("first-retry-1").exists()
