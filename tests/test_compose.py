"""docker-compose.yml and docker/: what can be checked of them without a Docker engine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from millrace.cli.main import app
from millrace.settings import Settings
from millrace.settings_sources import variable
from tests.servers.s3 import Moto

ROOT = Path(__file__).parents[1]
COMPOSE = ROOT / "docker-compose.yml"
SECRET = re.compile(r"PASSWORD|SECRET|ACCESS_KEY")
WANTED = {
    "postgres",
    "redis",
    "s3",
    "bucket",
    "upgrade",
    "api",
    "scheduler",
    "worker",
    "worker-gpu",
}


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    read: dict[str, dict[str, Any]] = YAML(typ="safe").load(COMPOSE)["services"]
    return read


def ours(services: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {name: each for name, each in services.items() if "build" in each}


def test_it_is_a_compose_file() -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    asked = [str(checker), "--builtin-schema", "vendor.compose-spec", str(COMPOSE)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_service_is_there(services: dict[str, dict[str, Any]]) -> None:
    assert set(services) == WANTED
    assert services["worker-gpu"]["profiles"] == ["gpu"]


def test_every_command_is_one_of_ours(services: dict[str, dict[str, Any]]) -> None:
    for name, each in ours(services).items():
        if "entrypoint" in each:
            continue
        asked = CliRunner().invoke(app, [*each["command"], "--help"])
        assert asked.exit_code == 0, f"{name}: {asked.output}"


def test_every_variable_is_a_setting_or_meant_for_a_library(
    services: dict[str, dict[str, Any]],
) -> None:
    known = {variable(field) for field in Settings.model_fields}
    for each in ours(services).values():
        set_here = {name for name in each["environment"] if name.startswith("MILLRACE_")}
        assert set_here <= known
        assert set_here


def test_no_secret_has_a_default(services: dict[str, dict[str, Any]]) -> None:
    for name, each in services.items():
        for key, value in each.get("environment", {}).items():
            if SECRET.search(key) or re.search("://[^/]*@", str(value)):
                assert re.search(r"\$\{\w+:\?[^}]+\}", str(value)), f"{name} {key}"
    requirepass = services["redis"]["command"]
    assert requirepass[requirepass.index("--requirepass") + 1].startswith("${REDIS_PASSWORD:?")


def test_every_service_says_how_it_is_and_comes_back(services: dict[str, dict[str, Any]]) -> None:
    image_checks = "HEALTHCHECK" in (ROOT / "docker/Dockerfile").read_text()
    for name, each in services.items():
        assert "restart" in each, name
        assert "healthcheck" in each or (image_checks and name in ours(services)), name


def test_nothing_but_the_api_listens_outside_and_that_only_here(
    services: dict[str, dict[str, Any]],
) -> None:
    published = {name: each["ports"] for name, each in services.items() if "ports" in each}
    assert published == {"api": ["127.0.0.1:8080:8080"]}


def test_the_example_names_every_secret_and_the_script_fills_them() -> None:
    required = set(re.findall(r"\$\{(\w+):\?", COMPOSE.read_text()))
    example = (ROOT / ".env.example").read_text()
    assert set(re.findall(r"^(\w+)=$", example, re.MULTILINE)) == required
    made = subprocess.run(
        [ROOT / "scripts/secrets"], capture_output=True, text=True, check=True
    ).stdout
    pairs = dict(line.split("=") for line in made.splitlines())
    assert set(pairs) == required
    assert all(re.fullmatch(r"[0-9a-f]{40}", value) for value in pairs.values())
    assert len(set(pairs.values())) == len(required)


def test_images_are_pinned_and_ours_not_run_by_root(services: dict[str, dict[str, Any]]) -> None:
    dockerfile = (ROOT / "docker/Dockerfile").read_text()
    assert re.search(r"^ARG PYTHON=\d+\.\d+\.\d+-", dockerfile, re.MULTILINE)
    assert "-c constraints.txt" in dockerfile
    assert re.findall(r"^USER (\w+)$", dockerfile, re.MULTILINE)[-1] == "millrace"
    for each in services.values():
        assert each.get("image", "").partition(":")[2] not in ("", "latest")


def test_every_folder_that_the_image_copies_is_let_through_to_the_build() -> None:
    copied = re.findall(
        r"^COPY (?!--from)([^.].*) \S+$", (ROOT / "docker/Dockerfile").read_text(), re.M
    )
    let_through = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.M))
    for source in " ".join(copied).split():
        assert (ROOT / source).exists(), source
        assert source.partition("/")[0] in let_through, source


def test_the_bucket_is_made_once(moto: Moto) -> None:
    environment = {
        "MILLRACE_S3_ENDPOINT_URL": moto.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, ROOT / "docker/create_bucket.py", "of-compose"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
