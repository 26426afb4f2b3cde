"""Settings from a file, the environment and flags, and where a fault is said to be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from millrace.errors import UsageError
from millrace.settings import Settings


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "millrace.toml"
    monkeypatch.setenv("MILLRACE_CONFIG", str(file))
    return file


def refusal() -> UsageError:
    with pytest.raises(UsageError) as refused:
        Settings.load()
    return refused.value


def test_flags_beat_the_environment_which_beats_the_file(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('pool = "file"\nthreads = 2\n[tenant_weights]\nacme = 3\n')
    assert (Settings.load().pool, Settings.load().threads) == ("file", 2)
    assert Settings.load().tenant_weights == {"acme": 3.0}
    monkeypatch.setenv("MILLRACE_POOL", "variable")
    monkeypatch.setenv("MILLRACE_TENANT_WEIGHTS", '{"other": 2}')
    assert Settings.load().pool == "variable"
    assert Settings.load().tenant_weights == {"other": 2.0}
    assert Settings.load(pool="flag").pool == "flag"
    assert Settings.load().threads == 2


def test_an_empty_variable_sets_nothing(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text('pool = "file"\n')
    monkeypatch.setenv("MILLRACE_POOL", "")
    assert Settings.load().pool == "file"


def test_an_unknown_key_is_refused_with_its_line(config: Path) -> None:
    config.write_text('# a comment\npool = "gpu"\n\nbroker_ulr = "redis://localhost"\n')
    message = refusal().message
    assert f"{config}:4 broker_ulr: no such setting; did you mean broker_url?" in message


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("threads = 0", ":2 threads: "),
        ('lease_seconds = "soon"', ":2 lease_seconds: "),
        ("tenant_weights = {acme = -1}", ":2 tenant_weights.acme: "),
        ("[tenant_weights]\nacme = 0", ":2 tenant_weights.acme: "),
        ('pool = "Not A Pool"', ":2 pool: "),
    ],
)
def test_a_value_that_cannot_be_is_told_with_its_line(config: Path, line: str, said: str) -> None:
    config.write_text(f"# first\n{line}\n")
    assert f"{config}{said}" in refusal().message


def test_an_unknown_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_LEASE_SECOND", "5")
    message = refusal().message
    assert "MILLRACE_LEASE_SECOND: no such setting; did you mean MILLRACE_LEASE_SECONDS?" in message


@pytest.mark.parametrize("name", ["DEBUG", "URL", "API_KEY", "FAILPOINTS", "VENV"])
def test_variables_that_others_read_are_let_through(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"MILLRACE_{name}", "x")
    Settings.load()


def test_json_in_a_variable_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_TENANT_WEIGHTS", "acme=3")
    assert "MILLRACE_TENANT_WEIGHTS: not JSON" in refusal().message


@pytest.mark.parametrize(
    ("content", "code"), [(b"pool gpu", "CONFIG_INVALID"), (b"\xff", "CONFIG_INVALID")]
)
def test_a_file_that_is_no_toml(config: Path, content: bytes, code: str) -> None:
    config.write_bytes(content)
    error = refusal()
    assert (error.code, str(config) in error.message) == (code, True)


def test_a_file_that_is_not_there(config: Path) -> None:
    error = refusal()
    assert (error.code, error.exit_code) == ("CONFIG_NOT_FOUND", 2)


def test_a_process_that_we_start_gets_the_same_settings(
    config: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config.write_text('broker_url = "redis://file"\nspeculate = false\n')
    monkeypatch.setenv("MILLRACE_MEMORY_BYTES", "100000000")
    ours = Settings.load(tenant_weights={"acme": 2}, state=tmp_path, broker_url="")
    handed_down = ours.environment()
    monkeypatch.setattr(os, "environ", handed_down)
    assert Settings.load() == ours


def test_no_password_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql://me:s3cret@host/db")
    monkeypatch.setenv("MILLRACE_BROKER_URL", "redis://:s3cret@host")
    assert "s3cret" not in repr(Settings.load()) + str(Settings.load())


def test_the_home_of_a_user_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MILLRACE_STATE", "~/state")
    assert Settings.load().state == tmp_path / "state"
