"""``millrace submit`` and ``millrace jobs``: steering a job, on both kinds of database."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Millrace
from tests.services import Start
from tests.waiting import until

ASKED = ("submit", "--model", "echo", "--input", "rows.jsonl", "--chunk-rows", "4", "--key", "id")
UNKNOWN = "0" * 32


@pytest.fixture(autouse=True)
def configured(
    tmp_path: Path, database_url: str, environment: dict[str, str], services: dict[str, str]
) -> None:
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"id": {n}}}\n' for n in range(20)))
    environment["MILLRACE_DATABASE_URL"] = services["MILLRACE_DATABASE_URL"] = database_url


def told(millrace: Millrace, *arguments: str, code: int = 0) -> dict[str, Any]:
    done = millrace(*arguments, "--json")
    assert done.returncode == code, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def submitted(millrace: Millrace, *options: str) -> str:
    job: str = told(millrace, *ASKED, "--output", "out", *options)["id"]
    return job


def state_of(millrace: Millrace, job: str) -> str:
    state: str = told(millrace, "jobs", "show", job)["state"]
    return state


def test_a_submission_is_told_and_waits_for_a_scheduler(millrace: Millrace) -> None:
    job = told(millrace, *ASKED, "--output", "out", "--tenant", "acme", "--pool", "gpu")
    assert (job["state"], job["tenant"], job["pool"]) == ("validating", "acme", "gpu")
    assert job["waits_for"]
    assert job["id"] in millrace("jobs", "list").stdout
    assert "waits for" in millrace("jobs", "show", job["id"]).stdout


def test_the_same_key_is_the_same_job_and_never_another_one(millrace: Millrace) -> None:
    first = submitted(millrace, "--idempotency-key", "nightly")
    assert submitted(millrace, "--idempotency-key", "nightly") == first
    other = millrace(*ASKED, "--output", "elsewhere", "--idempotency-key", "nightly")
    assert (other.returncode, "IDEMPOTENCY_MISMATCH" in other.stderr) == (6, True)
    assert len(told(millrace, "jobs", "list")["data"]) == 1


def test_an_output_belongs_to_one_job_and_one_tenant(millrace: Millrace) -> None:
    job = submitted(millrace)
    assert submitted(millrace) == job
    for changed in (("--chunk-rows", "5"), ("--tenant", "other")):
        refused = millrace(*ASKED, "--output", "out", *changed)
        assert (refused.returncode, job in refused.stderr) == (6, True)


def test_pages_and_states_of_a_list(millrace: Millrace) -> None:
    found = [told(millrace, *ASKED, "--output", f"out{n}")["id"] for n in range(3)]
    told(millrace, "jobs", "cancel", found[0])

    page = told(millrace, "jobs", "list", "--limit", "2")
    assert [each["id"] for each in page["data"]] == [found[2], found[1]]
    rest = told(millrace, "jobs", "list", "--after", page["next"])
    assert ([each["id"] for each in rest["data"]], rest["next"]) == ([found[0]], None)
    only = told(millrace, "jobs", "list", "--only", "cancelled")["data"]
    assert [each["id"] for each in only] == [found[0]]
    assert f"--after {found[1]}" in millrace("jobs", "list", "--limit", "2").stdout
    assert millrace("jobs", "list", "--only", "sleeping").returncode == 2


def test_pause_and_resume_are_for_jobs_that_run(millrace: Millrace, start: Start) -> None:
    job = submitted(millrace)
    refused = millrace("jobs", "pause", job)
    assert refused.returncode == 6
    assert "validating" in refused.stderr
    assert "running" in refused.stderr
    start("scheduler")
    until(lambda: state_of(millrace, job) == "running", "the job runs")

    for _ in range(2):
        assert told(millrace, "jobs", "pause", job)["state"] == "paused"
    assert "resume" in told(millrace, "jobs", "show", job)["waits_for"]
    for _ in range(2):
        assert told(millrace, "jobs", "resume", job)["state"] == "running"


def test_cancel_is_for_good_until_somebody_retries(millrace: Millrace, start: Start) -> None:
    job = submitted(millrace)
    assert millrace("jobs", "retry", job).returncode == 6
    for _ in range(2):
        assert told(millrace, "jobs", "cancel", job, "--wait")["state"] == "cancelled"
    assert millrace("jobs", "watch", job).returncode == 11
    assert millrace("jobs", "resume", job).returncode == 6

    assert told(millrace, "jobs", "retry", job)["state"] == "validating"
    start("scheduler")
    start("worker", "--processes", "1")
    watched = millrace("jobs", "watch", job)
    assert (watched.returncode, "20 of 20 rows" in watched.stdout) == (0, True)
    assert told(millrace, "jobs", "cancel", job)["state"] == "succeeded"
    assert millrace("jobs", "retry", job, "--errors").returncode == 6


def test_error_rows_are_run_again_on_request(
    millrace: Millrace, start: Start, tmp_path: Path
) -> None:
    lines = [f'{{"id": {n}}}' if n % 5 else "nonsense" for n in range(20)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    start("scheduler")
    start("worker", "--processes", "1")
    failed = told(millrace, *ASKED, "--output", "out", "--error-threshold", "1", "--wait", code=8)
    assert failed["reason_code"] == "ERROR_THRESHOLD"

    told(millrace, "jobs", "retry", failed["id"], "--errors")

    again = told(millrace, "jobs", "watch", failed["id"], code=8)
    assert again["reason_code"] == "ERROR_THRESHOLD"
    until(lambda: state_of(millrace, failed["id"]) == "failed", "it has failed again")


MOODY = """
from pathlib import Path

from millrace.predictor import Predictor

class Moody(Predictor):
    def predict(self, batch):
        with (Path(__file__).parent / "seen").open("a") as seen:
            seen.writelines(f"{id}\\n" for id in batch["id"])
        if (Path(__file__).parent / "moody").exists() and 7 in batch["id"]:
            raise ValueError("not today")
        return {"said": [f"row {id}" for id in batch["id"]]}
"""


@pytest.fixture
def partial(millrace: Millrace, start: Start, tmp_path: Path) -> str:
    """A job with an error row that will go away and one that will not."""
    lines = [f'{{"id": {n}}}' if n != 13 else "nonsense" for n in range(20)]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    (tmp_path / "moody.py").write_text(MOODY)
    (tmp_path / "moody").touch()
    start("scheduler")
    start("worker", "--processes", "1")
    asked = ("--model", "python:moody.py:Moody", "--input", "rows.jsonl", "--chunk-rows", "4")
    job = told(millrace, "submit", *asked, "--output", "out", "--key", "id", "--wait", code=9)
    (tmp_path / "moody").unlink()
    (tmp_path / "seen").unlink()
    return str(job["id"])


def test_error_rows_of_a_partial_job_are_computed_into_a_folder_of_their_own(
    millrace: Millrace, partial: str, tmp_path: Path
) -> None:
    refused = millrace("jobs", "retry", partial)
    assert (refused.returncode, "--errors" in refused.stderr) == (6, True)

    retry = told(millrace, "jobs", "retry", partial, "--errors")

    assert (retry["retry_of"], Path(retry["output"]).name) == (partial, "out-retry-1")
    ended = told(millrace, "jobs", "watch", retry["id"], code=9)
    assert (ended["rows_ok"], ended["rows_err"]) == (19, 1)
    assert (tmp_path / "seen").read_text().split() == ["7"]
    printed = millrace("jobs", "results", retry["id"]).stdout.splitlines()
    assert [*map(json.loads, printed)] == [
        {"id": n, "said": f"row {n}"} for n in range(20) if n != 13
    ]
    [error] = map(json.loads, millrace("jobs", "errors", retry["id"]).stdout.splitlines())
    assert (error["row"], error["code"]) == (13, "JSON_INVALID")
    checked = millrace("verify", "out-retry-1")
    assert "20 rows = 19 results + 1 errors" in checked.stdout, checked.stderr
    assert told(millrace, "jobs", "show", partial)["state"] == "partial"
    assert millrace("verify", "out").returncode == 0
    # published, so the next one is another job, beside it
    again = told(millrace, "jobs", "retry", retry["id"], "--errors")
    assert (again["retry_of"], Path(again["output"]).name) == (retry["id"], "out-retry-2")
    assert told(millrace, "jobs", "watch", again["id"], code=9)["rows_err"] == 1


def test_a_retry_of_rows_is_refused_where_it_could_not_be_true(
    millrace: Millrace, partial: str, tmp_path: Path
) -> None:
    def refused(*options: str, code: int = 6) -> str:
        done = millrace("jobs", "retry", partial, "--errors", *options)
        assert done.returncode == code, done.stdout
        return done.stderr

    rows, model = tmp_path / "rows.jsonl", tmp_path / "moody.py"
    [part, *_] = sorted((tmp_path / "out" / "parts").iterdir())
    for harmed, code in ((model, "MODEL_CHANGED"), (part, "PARENT_DAMAGED")):
        content = harmed.read_bytes()
        harmed.write_bytes(content + b"\n")
        assert code in refused()
        harmed.unlink()
        assert code in refused()
        harmed.write_bytes(content)
    assert "OUTPUT_OVERLAPS" in refused("--output", "out/again", code=3)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note").touch()
    assert "OUTPUT_EXISTS" in refused("--output", "mine")
    (tmp_path / "out" / "_MANIFEST.json").rename(tmp_path / "aside")
    assert "RESULTS_GONE" in refused()
    (tmp_path / "aside").rename(tmp_path / "out" / "_MANIFEST.json")
    (tmp_path / "mine").rename(tmp_path / "out-retry-1")
    retry = told(millrace, "jobs", "retry", partial, "--errors")
    assert Path(retry["output"]).name == "out-retry-2"
    told(millrace, "jobs", "watch", retry["id"], code=9)
    rows.write_bytes(rows.read_bytes() + b"\n")
    assert "INPUT_CHANGED" in refused()
    rows.unlink()
    assert "INPUT_CHANGED" in refused()


def test_an_output_is_for_error_rows_only(millrace: Millrace) -> None:
    job = submitted(millrace)
    for options in ((), ("--errors",)):
        refused = millrace("jobs", "retry", job, "--output", "there", *options)
        assert (refused.returncode, "--output" in refused.stderr) == (2, True)


@pytest.mark.parametrize("verb", ["show", "pause", "errors"])
def test_a_job_that_nobody_knows(millrace: Millrace, verb: str) -> None:
    refused = millrace("jobs", verb, UNKNOWN)
    assert (refused.returncode, "JOB_NOT_FOUND" in refused.stderr) == (4, True)
