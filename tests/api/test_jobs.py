"""Jobs over HTTP: in, listed, looked at, steered."""

from __future__ import annotations

import threading

import httpx
import pytest

from millrace.access import audit
from millrace.types import JobState
from tests.api.jobs import in_state
from tests.api.refusals import refused
from tests.api.site import Site

AGAIN = {"Idempotency-Key": "monday"}


def test_a_job_is_taken_in(site: Site, client: httpx.Client) -> None:
    answer = client.post("/v1/jobs", json=site.order(priority=7, pool="gpu"))
    assert answer.status_code == 201
    job = answer.json()
    assert (job["state"], job["tenant"], job["priority"], job["pool"]) == (
        "validating",
        "acme",
        7,
        "gpu",
    )
    assert (job["model"], job["waits_for"]) == ("echo", "it is being planned")
    assert answer.headers["Location"] == f"/v1/jobs/{job['id']}"
    assert client.get(answer.headers["Location"]).json() == job


def test_the_same_again_is_the_same_job(site: Site, client: httpx.Client) -> None:
    order = site.order()
    first = client.post("/v1/jobs", json=order)
    again = client.post("/v1/jobs", json=order)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]


def test_another_job_for_the_same_output_is_refused(site: Site, client: httpx.Client) -> None:
    job = client.post("/v1/jobs", json=site.order()).json()
    other = client.post("/v1/jobs", json=site.order(join="none"))
    assert job["id"] in refused(other, 409, "OUTPUT_EXISTS")["detail"]


def test_a_key_stands_for_one_request_for_ever(site: Site, client: httpx.Client) -> None:
    order = site.order()
    first = client.post("/v1/jobs", json=order, headers=AGAIN)
    for path in (site.home("acme") / "in").iterdir():
        path.unlink()
    again = client.post("/v1/jobs", json=order, headers=AGAIN)
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    other = client.post("/v1/jobs", json=order | {"priority": 9}, headers=AGAIN)
    told = refused(other, 422, "IDEMPOTENCY_MISMATCH")
    assert first.json()["id"] in told["detail"]
    assert len(client.get("/v1/jobs").json()["data"]) == 1


def test_a_key_is_kept_where_the_job_was_found_by_its_output(
    site: Site, client: httpx.Client
) -> None:
    order = site.order()
    client.post("/v1/jobs", json=order)
    assert client.post("/v1/jobs", json=order, headers=AGAIN).status_code == 200
    other = client.post("/v1/jobs", json=order | {"output": "/else"}, headers=AGAIN)
    refused(other, 422, "IDEMPOTENCY_MISMATCH")


def test_the_same_key_of_another_tenant_is_another_one(site: Site, client: httpx.Client) -> None:
    mine = client.post("/v1/jobs", json=site.order(), headers=AGAIN)
    theirs = site.client("zeta").post("/v1/jobs", json=site.order("zeta"), headers=AGAIN)
    assert (mine.status_code, theirs.status_code) == (201, 201)


def test_many_at_once_with_one_key_get_one_job(site: Site) -> None:
    order, key = site.order(), site.key()
    answers: list[httpx.Response] = []
    clients = [site.anybody(Authorization=f"Bearer {key}", **AGAIN) for _ in range(6)]

    def submit(client: httpx.Client) -> None:
        answers.append(client.post("/v1/jobs", json=order))

    threads = [threading.Thread(target=submit, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {200, 201}
    assert len({answer.json()["id"] for answer in answers}) == 1


def test_a_dry_run_tells_and_leaves_nothing(site: Site, client: httpx.Client) -> None:
    order = site.order(rows=50, input_columns=["text"])
    folder = site.home("acme") / "in"
    with (folder / "0.jsonl").open("a") as file:
        file.write('nonsense\n{"id": 51}\n')
    answer = client.post("/v1/jobs?dry_run=true", json=order, headers=AGAIN)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert (told["inputs"], told["rows_about"], told["chunks"]) == (1, 52, 1)
    assert told["columns"] == {"id": "int64", "text": "string"}
    assert [(each["line"], each["code"]) for each in told["findings"]] == [
        (51, "JSON_INVALID"),
        (52, "FIELD_MISSING"),
    ]
    assert (told["rows_looked_at"], told["seconds_about"], told["from_jobs"]) == (52, None, 0)
    assert client.get("/v1/jobs").json()["data"] == []
    assert not (site.home("acme") / "out").exists()
    assert client.post("/v1/jobs", json=order, headers=AGAIN).status_code == 201


def test_a_dry_run_of_what_cannot_be(site: Site, client: httpx.Client) -> None:
    dry = "/v1/jobs?dry_run=true"
    told = refused(client.post(dry, json=site.order(key="nobody")), 422, "SCHEMA_MISMATCH")
    assert "id, text" in told["hint"]
    missing = site.order(input=f"{site.home('acme')}/nothing.jsonl")
    for path in (dry, "/v1/jobs"):
        refused(client.post(path, json=missing), 422, "INPUT_NOT_FOUND")
    assert client.get("/v1/jobs").json()["data"] == []


def test_pages_hold_each_job_once(site: Site, client: httpx.Client) -> None:
    home = site.home("acme")
    order = site.order()
    made = [
        client.post("/v1/jobs", json=order | {"output": f"{home}/out{n}"}).json()["id"]
        for n in range(7)
    ]
    seen, after = list[str](), None
    while True:
        query = {"limit": "3"} | ({"after": after} if after else {})
        page = client.get("/v1/jobs", params=query).json()
        seen += [job["id"] for job in page["data"]]
        after = page["next"]
        if after is None:
            break
        client.post("/v1/jobs", json=order | {"output": f"{home}/new{len(seen)}"})
    assert seen == made[::-1]


def test_a_cursor_is_good_for_its_own_key_only(site: Site, client: httpx.Client) -> None:
    client.post("/v1/jobs", json=site.order())
    cursor = client.get("/v1/jobs?limit=1").json()["next"]
    assert client.get("/v1/jobs", params={"after": cursor}).json()["data"] == []
    for other in (site.client("acme"), site.client("zeta")):
        refused(other.get("/v1/jobs", params={"after": cursor}), 422, "CURSOR_INVALID")
    forged = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
    refused(client.get("/v1/jobs", params={"after": forged}), 422, "CURSOR_INVALID")


def test_lists_are_filtered(site: Site, client: httpx.Client) -> None:
    job = client.post("/v1/jobs", json=site.order()).json()["id"]
    for query, found in (
        ("state=validating", [job]),
        ("state=running&state=validating", [job]),
        ("state=running", []),
        ("model=echo", [job]),
        ("model=torch:x", []),
    ):
        listed = client.get(f"/v1/jobs?{query}").json()["data"]
        assert [each["id"] for each in listed] == found, query


VERBS: list[tuple[str, JobState, JobState]] = [
    ("pause", JobState.RUNNING, JobState.PAUSED),
    ("resume", JobState.PAUSED, JobState.RUNNING),
    ("cancel", JobState.RUNNING, JobState.CANCELLED),
    ("cancel", JobState.VALIDATING, JobState.CANCELLED),
    ("retry", JobState.FAILED, JobState.RUNNING),
    ("retry", JobState.CANCELLED, JobState.RUNNING),
    ("retry", JobState.EXPIRED, JobState.RUNNING),
]


@pytest.mark.parametrize(("verb", "before", "after"), VERBS)
def test_a_verb_moves_a_job_and_is_written_down(
    site: Site, client: httpx.Client, verb: str, before: JobState, after: JobState
) -> None:
    job_id = in_state(site, before)
    moved = client.post(f"/v1/jobs/{job_id}/{verb}")
    assert (moved.status_code, moved.json()["state"]) == (200, after)
    with site.database.read() as connection:
        last = audit.page(connection, "acme")[-1]
    key_id = client.headers["Authorization"].split("_")[1]
    assert (last.action, last.object, last.key_id) == (f"job.{verb}", f"job:{job_id}", key_id)
    assert last.detail == {"from": before, "to": after}


@pytest.mark.parametrize("verb", ["pause", "resume", "cancel"])
def test_twice_is_the_same_as_once(site: Site, client: httpx.Client, verb: str) -> None:
    job_id = in_state(site, JobState.PAUSED if verb == "resume" else JobState.RUNNING)
    first, second = (client.post(f"/v1/jobs/{job_id}/{verb}") for _ in range(2))
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["state"] == second.json()["state"]


@pytest.mark.parametrize(
    ("verb", "state", "code"),
    [
        ("pause", JobState.QUEUED, "STATE_FORBIDS"),
        ("resume", JobState.SUCCEEDED, "STATE_FORBIDS"),
        ("retry", JobState.SUCCEEDED, "STATE_FORBIDS"),
        ("retry", JobState.RUNNING, "STATE_FORBIDS"),
        ("cancel", JobState.FINALIZING, "ALREADY_PUBLISHING"),
    ],
)
def test_a_forbidden_move_says_what_is_needed(
    site: Site, client: httpx.Client, verb: str, state: JobState, code: str
) -> None:
    job_id = in_state(site, state)
    told = refused(client.post(f"/v1/jobs/{job_id}/{verb}"), 409, code)
    assert state in told["detail"]


def test_cancelling_what_has_ended_changes_nothing(site: Site, client: httpx.Client) -> None:
    job_id = in_state(site, JobState.SUCCEEDED)
    assert client.post(f"/v1/jobs/{job_id}/cancel").json()["state"] == "succeeded"


@pytest.mark.parametrize("state", [JobState.VALIDATING, JobState.RUNNING, JobState.FAILED])
def test_there_is_no_manifest_before_the_end(
    site: Site, client: httpx.Client, state: JobState
) -> None:
    job_id = in_state(site, state)
    assert state in refused(client.get(f"/v1/jobs/{job_id}/manifest"), 409, "NOT_READY")["detail"]


@pytest.mark.parametrize(
    ("body", "status"), [({}, 200), ({"errors": True}, 200), ({"error": True}, 422), ([], 422)]
)
def test_what_to_retry(site: Site, client: httpx.Client, body: object, status: int) -> None:
    job_id = in_state(site, JobState.FAILED)
    assert client.post(f"/v1/jobs/{job_id}/retry", json=body).status_code == status
