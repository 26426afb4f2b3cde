"""``millrace up``: the whole system with one command, alive until it is asked to end."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from millrace import Client, JobRequest
from millrace.types import JobState
from tests.commands import Millrace, command
from tests.servers.household import household
from tests.waiting import gone, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked for in /proc")


@pytest.fixture
def asked(tmp_path: Path) -> JobRequest:
    lines = (f'{{"id": {n}}}\n' for n in range(20))
    (tmp_path / "rows.jsonl").write_text("".join(lines))
    return JobRequest(
        model="echo", input=str(tmp_path / "rows.jsonl"), output=str(tmp_path / "out"), key="id"
    )


def test_one_command_is_enough_and_leaves_nothing_behind(
    tmp_path: Path, state: Path, millrace: Millrace, asked: JobRequest
) -> None:
    with household(tmp_path, state, "--workers", "1") as house:
        assert house.said["key"].startswith("mr_")
        with Client(house.said["url"], house.said["key"], patience=60) as client:
            job = client.submit(asked)
            assert client.wait(job.id, timeout=60).state == JobState.SUCCEEDED
            assert [row["id"] for row in client.results(job.id)] == list(range(20))
            assert client.manifest(job.id).rows.ok == 20
        second = millrace("up", "--port", "0")
        assert (second.returncode, "ALREADY_UP" in second.stderr) == (6, True)
        assert str(house.process.pid) in second.stderr
        port = house.said["url"].rpartition(":")[2]
        third = millrace("up", "--port", port, "--state", str(tmp_path / "another"))
        assert (third.returncode, "ADDRESS_UNAVAILABLE" in third.stderr) == (7, True)
        everybody = house.everybody()
        house.process.send_signal(signal.SIGINT)
        assert house.process.wait(60) == 0
        until(lambda: all(gone(each.pid) for each in everybody), "nobody is left")
        assert {each.name for each in (state / "logs").glob("*.log")} >= {
            "api.log",
            "scheduler.log",
            "workers.log",
        }
        assert house.said["key"] not in "".join(
            each.read_text() for each in (state / "logs").glob("*.log")
        )

    with household(tmp_path, state, "--workers", "1") as again:
        assert again.said["key"] is None
        assert json.loads(millrace("jobs", "list", "--json").stdout)["data"][0]["id"] == job.id


def test_what_dies_is_started_again_and_nothing_outlives_it(
    tmp_path: Path, state: Path, asked: JobRequest
) -> None:
    with household(tmp_path, state, "--workers", "1") as house:
        with Client(house.said["url"], house.said["key"], patience=90) as client:
            for word in ("api", "scheduler", "workers", "valkey"):
                one = house.child(word)
                one.kill()
                until(lambda one=one: gone(one.pid), f"{word} is dead")  # type: ignore[misc]
            job = client.submit(asked)
            assert client.wait(job.id, timeout=90).state == JobState.SUCCEEDED
        told = house.warnings.read_text()
        assert all(f"{name} ended" in told for name in ("api", "scheduler", "broker"))
        until(lambda: house.child("valkey"), "the broker is back")
        everybody = house.everybody()
        house.process.kill()
        house.process.wait(20)
        until(lambda: all(gone(each.pid) for each in everybody), "nobody is left", 60)


def test_it_can_be_asked_to_end_before_it_is_up(tmp_path: Path, state: Path) -> None:
    with psutil.Popen(
        command("up", "--port", "0", "--state", str(state)),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        until(lambda: len(process.children()) >= 3, "its processes are there", 60, every=0.02)
        everybody = process.children(recursive=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        until(lambda: all(gone(each.pid) for each in everybody), "nobody is left")


@pytest.mark.parametrize("root", ["ftp://x", "rows*"])
def test_a_root_that_cannot_be(millrace: Millrace, root: str) -> None:
    refused = millrace("up", "--port", "0", "--root", root)
    assert (refused.returncode, refused.stdout) == (3, "")
