"""Settings from the environment, and what is said of those that cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.errors import UsageError
from millrace.settings import Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LEASE_SECONDS", "soon"),
        ("LEASE_SECONDS", "0"),
        ("HEARTBEAT_SECONDS", "-1"),
        ("GRACE_SECONDS", "-0.5"),
        ("THREADS", "0"),
        ("THREADS", "many"),
        ("DEVICE", "gpu"),
        ("DEVICE", "cuda:x"),
        ("MEMORY_BYTES", "1"),
    ],
)
def test_what_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"MILLRACE_{name}", value)
    with pytest.raises(UsageError) as refused:
        Settings.load()
    assert refused.value.code == "SETTING_INVALID"
    assert refused.value.exit_code == 2
    assert f"MILLRACE_{name}" in refused.value.message


def test_every_fault_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_THREADS", "0")
    monkeypatch.setenv("MILLRACE_DEVICE", "gpu")
    with pytest.raises(UsageError, match=r"MILLRACE_DEVICE.*; |MILLRACE_THREADS.*; ") as refused:
        Settings.load()
    assert "MILLRACE_THREADS" in refused.value.message
    assert "MILLRACE_DEVICE" in refused.value.message


def test_the_environment_wins_over_defaults_and_arguments_over_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MILLRACE_THREADS", "3")
    monkeypatch.setenv("MILLRACE_STATE", str(tmp_path))
    assert Settings.load().threads == 3
    assert Settings.load(threads=4).threads == 4
    assert Settings.load().database == f"sqlite:///{tmp_path}/millrace.db"
    monkeypatch.setenv("MILLRACE_DATABASE_URL", "postgresql://host/name")
    assert Settings.load().database == "postgresql://host/name"


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1", "mps", "xpu:0"])
def test_devices(device: str) -> None:
    assert Settings.load(device=device).device == device


def test_a_refused_device_tells_which_there_are() -> None:
    with pytest.raises(UsageError) as refused:
        Settings.load(device="gpu")
    assert "'gpu' is none of auto, cpu, mps, cuda, cuda:N" in refused.value.message
    assert "--device (MILLRACE_DEVICE)" in refused.value.message
