"""Every command against a server gives what it gives at the state folder of that server."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import command
from tests.servers.household import House, household
from tests.servers.ports import free_port

# many commands, each a process that has to start
pytestmark = pytest.mark.timeout(400)

UNKNOWN = "0" * 32
SLOW = ("--option", "delay=5", "--chunk-rows", "2")

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    lines = [f'{{"id": {n}}}' if n != 7 else "nonsense" for n in range(20)]
    (folder / "rows.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def house(home: Path) -> Iterator[House]:
    with household(home, home / "state", "--workers", "1") as opened:
        yield opened


@pytest.fixture(scope="module")
def there(home: Path, house: House) -> Run:
    """Runs a command that goes to the server."""

    def run(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return called(home, house.environment | changes, *arguments)

    return run


@pytest.fixture(scope="module")
def here(home: Path, house: House) -> Run:
    """Runs a command that opens the state folder of that server."""
    return lambda *arguments: called(
        home, {"MILLRACE_STATE": str(home / "state"), "MILLRACE_URL": ""}, *arguments
    )


def called(
    folder: Path, environment: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=folder,
        env={**os.environ, "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def told(run: Run, *arguments: str, code: int = 0) -> Any:
    done = run(*arguments, "--json")
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def asked(output: str, *options: str) -> tuple[str, ...]:
    named = ("--model", "echo", "--input", "rows.jsonl", "--output", output, "--key", "id")
    return ("submit", *named, *options)


@pytest.fixture(scope="module")
def partial(there: Run) -> str:
    job: str = told(there, *asked("out"), "--wait", code=9)["id"]
    return job


def test_what_is_shown_is_the_same(there: Run, here: Run, partial: str) -> None:
    for arguments in (
        ("jobs", "show", partial, "--json"),
        ("jobs", "show", partial),
        ("jobs", "list", "--only", "partial"),
    ):
        over, at = there(*arguments), here(*arguments)
        assert (over.returncode, over.stdout) == (at.returncode, at.stdout), over.stderr
        assert partial in over.stdout
    for kind in ("results", "errors"):
        over, at = there("jobs", kind, partial), here("jobs", kind, partial)
        assert over.stdout == at.stdout != ""
    over, at = there("jobs", "watch", partial), here("jobs", "watch", partial)
    assert (over.returncode, over.stdout) == (9, at.stdout)
    for worker in (told(there, "workers", "list"), told(here, "workers", "list")):
        assert [each["pool"] for each in worker["data"]] == ["default"]
    assert there("workers", "list").returncode == 0


def test_the_same_submission_is_the_same_job(there: Run, here: Run, partial: str) -> None:
    for run in (there, here):
        again = run(*asked("out"))
        assert (again.returncode, partial in again.stdout) == (0, True), again.stderr
        assert "already" in again.stdout
    keyed = [told(there, *asked("keyed"), "--idempotency-key", "k")["id"] for _ in range(2)]
    assert keyed[0] == keyed[1]
    other = there(*asked("another"), "--idempotency-key", "k")
    assert (other.returncode, "IDEMPOTENCY_MISMATCH" in other.stderr) == (6, True)


def test_a_job_is_steered_from_both_sides(there: Run, here: Run) -> None:
    job = told(there, *asked("slow", *SLOW))["id"]
    assert told(there, "jobs", "cancel", job, "--wait")["state"] == "cancelled"
    assert told(here, "jobs", "cancel", job)["state"] == "cancelled"
    assert there("jobs", "resume", job).returncode == here("jobs", "resume", job).returncode == 6
    assert there("jobs", "retry", job).returncode == 0
    assert there("jobs", "cancel", job, "--wait").returncode == 0
    assert there("jobs", "watch", job).returncode == 11


def test_error_rows_are_retried_by_a_new_job(there: Run, home: Path, partial: str) -> None:
    retry = told(there, "jobs", "retry", partial, "--errors", "--output", "mended")
    assert (retry["retry_of"], retry["id"] != partial) == (partial, True)
    assert told(there, "jobs", "watch", retry["id"], code=9)["rows_err"] == 1
    assert (home / "mended" / "_MANIFEST.json").exists()
    outside = there("jobs", "retry", partial, "--errors", "--output", "/elsewhere/out")
    assert (outside.returncode, "URI_NOT_ALLOWED" in outside.stderr) == (3, True)


def test_lists_go_on_where_they_ended(there: Run, partial: str) -> None:
    there(*asked("second"), "--wait")
    first = told(there, "jobs", "list", "--limit", "1")
    rest = told(there, "jobs", "list", "--after", first["next"])
    assert partial not in [job["id"] for job in first["data"]]
    assert partial in [job["id"] for job in rest["data"]]
    shown = there("jobs", "list", "--limit", "1").stdout
    assert "millrace jobs list --after" in shown


def test_a_server_is_named_by_an_option_too(here: Run, house: House, partial: str) -> None:
    key = {"MILLRACE_API_KEY": house.said["key"]}
    done = subprocess.run(
        command("jobs", "watch", partial, "--url", house.said["url"]),
        env=os.environ | key,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"millrace jobs errors {partial} --url {house.said['url']}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "changes", "code", "says"),
    [
        (("jobs", "show", UNKNOWN), {}, 4, "JOB_NOT_FOUND"),
        (("jobs", "pause", UNKNOWN), {}, 4, "JOB_NOT_FOUND"),
        (("jobs", "results", UNKNOWN), {}, 4, "JOB_NOT_FOUND"),
        (("jobs", "list"), {"MILLRACE_API_KEY": "mr_wrong"}, 5, "AUTH_INVALID"),
        (("jobs", "list"), {"MILLRACE_API_KEY": ""}, 5, "AUTH_MISSING"),
        (("jobs", "list", "--after", "nonsense"), {}, 3, "CURSOR_INVALID"),
        (("jobs", "list"), {"MILLRACE_URL": "nonsense"}, 2, "URL_INVALID"),
        (("jobs", "list", "--url", "http://h", "--state", "x"), {}, 2, "OPTION_INVALID"),
        (asked("out", "--tenant", "acme"), {}, 2, "--tenant"),
        (asked("out", "--priority", "77"), {}, 2, "--priority"),
        (asked("/elsewhere/out"), {}, 3, "URI_NOT_ALLOWED"),
    ],
)
def test_what_is_refused_is_one_clear_line(
    there: Run, arguments: tuple[str, ...], changes: dict[str, str], code: int, says: str
) -> None:
    done = there(*arguments, **changes)
    assert (done.returncode, says in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_is_not_there(there: Run) -> None:
    away = there("jobs", "list", MILLRACE_URL=f"http://127.0.0.1:{free_port()}")
    assert (away.returncode, "SERVER_UNREACHABLE" in away.stderr) == (7, True)
