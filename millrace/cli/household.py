"""All services of one machine: started together, kept alive, ended together."""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from millrace.cli.embedded_broker import broker_place
from millrace.cli.greeting import Greeting
from millrace.cli.housemate import Housemate
from millrace.cli.interruption import requests_to_end
from millrace.cli.machine import computes_on_cpu, cores, memory_bytes
from millrace.cli.state import house_lock, open_state
from millrace.cli.supervision import supervise
from millrace.cli.warnings_log import WarningsLog
from millrace.listening import listening
from millrace.settings import Settings
from millrace.storage.allowance import root_uri
from millrace.telemetry import configure_logging

HOST = "127.0.0.1"


def keep_house(
    asked: Settings, *, port: int, workers: int | None, roots: Sequence[str], as_json: bool
) -> int:
    """Run everything until somebody asks for its end.

    Raises `Conflict` where another one runs on this state folder, `Unavailable` where the port is
    taken or the database away, `InvalidInput` for a root that cannot be.
    """
    configure_logging("warning", "text")
    size = workers or (cores() if computes_on_cpu(asked.device) else 1)
    settings = _settings(asked, size, roots)
    logs = settings.state / "logs"
    with ExitStack() as stack:
        database = stack.enter_context(open_state(settings))
        stack.enter_context(house_lock(settings))
        logs.mkdir(exist_ok=True)
        requests = stack.enter_context(requests_to_end())
        listener = stack.enter_context(listening(HOST, port))
        beneath, settings = _broker(stack, settings, logs)
        greeting = Greeting(database, settings, HOST, listener.getsockname()[1], size, as_json)
        warnings = [WarningsLog(logs / f"{name}.log") for name in ("api", "scheduler", "workers")]

        def look() -> None:
            greeting.give()
            for line in (line for log in warnings for line in log.fresh()):
                print(line, file=sys.stderr, flush=True)

        supervise(
            size,
            settings,
            requests,
            output=logs / "workers.log",
            beneath=beneath,
            beside=_services(settings, listener, logs),
            look=look,
        )
    return 0


def _settings(asked: Settings, size: int, roots: Sequence[str]) -> Settings:
    """Those of all services: this machine's share for each worker, and what jobs may name."""
    here = tuple(map(root_uri, roots)) or (root_uri(str(Path.cwd())),)
    return asked.model_copy(
        update={
            "state": asked.state.absolute(),
            "storage_roots": tuple(roots and here) or asked.storage_roots or here,
            "model_roots": tuple(roots and here) or asked.model_roots or here,
            "threads": max(1, cores() // size),
            "memory_bytes": asked.memory_bytes or memory_bytes(size),
            "heartbeat_seconds": min(2.0, asked.heartbeat_seconds),
            "poll_seconds": min(1.0, asked.poll_seconds),
            "log_format": "json",
        }
    )


def _broker(
    stack: ExitStack, settings: Settings, logs: Path
) -> tuple[Sequence[Housemate], Settings]:
    """A broker of our own where none is configured; without any, workers look by themselves."""
    if settings.broker_url:
        return (), settings
    url, command = stack.enter_context(broker_place())
    if not url:
        return (), settings
    broker = Housemate("broker", command, {}, logs / "broker.log")
    return (broker,), settings.model_copy(update={"broker_url": url})


def _services(settings: Settings, listener: socket.socket, logs: Path) -> Sequence[Housemate]:
    environment = settings.environment()
    millrace = (sys.executable, "-P", "-m", "millrace")
    port, number = listener.getsockname()[1], listener.fileno()
    # the socket is ours: while the API is started again, requests wait in its queue
    api = (*millrace, "api", "--port", str(port), "--inherited", str(number))
    return (
        Housemate("api", api, environment, logs / "api.log", sockets=(number,)),
        Housemate("scheduler", (*millrace, "scheduler"), environment, logs / "scheduler.log"),
    )
