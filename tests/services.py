"""Services started as their users start them, and ended at the end of the test."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.commands import command
from tests.waiting import until

QUICK = {
    "HEARTBEAT_SECONDS": "0.5",
    "POLL_SECONDS": "0.3",
    "GRACE_SECONDS": "20",
    "SEEN_SECONDS": "0.5",
    "LEADER_SECONDS": "3",
    "STARTUP_SECONDS": "20",
    "DEVICE": "cpu",
    "LOG_FORMAT": "json",
}


class Service:
    """One process of ``millrace …``, with what it has logged."""

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = psutil.Popen(
                command(*arguments), env=environment, stdout=output, stderr=output
            )

    def said(self) -> str:
        return self._log.read_text()

    def says(self, text: str) -> None:
        """Return as soon as its log holds `text`."""
        until(lambda: text in self.said() or self.process.poll() is not None, f"it says {text}")
        assert text in self.said(), self.said()

    def workers(self) -> list[psutil.Process]:
        """The processes that a supervisor keeps."""
        return [each for each in self.process.children() if "workers" in each.cmdline()]

    def ends(self, *numbers: signal.Signals, seconds: float = 40) -> int:
        """Its exit code after these signals."""
        for number in numbers:
            self.process.send_signal(number)
        code: int = self.process.wait(seconds)
        return code


Start = Callable[..., Service]


@pytest.fixture
def services(environment: dict[str, str]) -> dict[str, str]:
    """The environment of services that see to everything several times a second."""
    return environment | {f"MILLRACE_{name}": value for name, value in QUICK.items()}


@pytest.fixture
def start(tmp_path: Path, services: dict[str, str]) -> Iterator[Start]:
    """Start a service: ``start("worker", "--processes", "1")``."""
    started: list[Service] = []

    def begin(*arguments: str, **changes: str) -> Service:
        log = tmp_path / f"{arguments[0]}-{len(started)}.log"
        service = Service(arguments, services | changes, log)
        started.append(service)
        return service

    yield begin
    for service in started:
        if service.process.poll() is None:
            for each in (*service.process.children(recursive=True), service.process):
                os.kill(each.pid, signal.SIGKILL)
            service.process.wait(10)


def run(environment: dict[str, str], folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one command."""
    done = subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr
