"""Compute processes that misbehave, in place of `workers.compute.serve`; importable by name."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from millrace.types import Reading
from workers.order import MAX_MESSAGE_BYTES, Finished, Progress, Stopped, WorkOrder
from workers.spawn import ComputeSettings


def _next_order(connection: Any) -> WorkOrder:
    return WorkOrder.model_validate_json(connection.recv_bytes(MAX_MESSAGE_BYTES))


def _send(connection: Any, message: Finished | Stopped | Progress) -> None:
    connection.send_bytes(message.model_dump_json().encode())


def _for_ever() -> None:
    threading.Event().wait()


def babble(connection: Any, settings: ComputeSettings) -> None:
    """Answer what is no message."""
    _send(connection, Progress(rows=0, in_flight=(4, 5)))
    connection.send_bytes(b"{not json")
    _for_ever()


def exaggerate(connection: Any, settings: ComputeSettings) -> None:
    """Answer more than any message may be."""
    connection.send_bytes(b" " * (MAX_MESSAGE_BYTES + 1))
    _for_ever()


def falter(connection: Any, settings: ComputeSettings) -> None:
    """Stop in the middle of a message."""
    _send(connection, Progress(rows=0, in_flight=(6,)))
    os.write(connection.fileno(), (1_000).to_bytes(4, "big") + b"{")
    _for_ever()


def usurp(connection: Any, settings: ComputeSettings) -> None:
    """Answer for another order."""
    _next_order(connection)
    _send(connection, Stopped(token="f" * 32, reason="permanent", code="X", message="of another"))
    _for_ever()


def boast(connection: Any, settings: ComputeSettings) -> None:
    """Claim ten results and show none."""
    while True:
        order = _next_order(connection)
        claim = Finished(
            token=order.token,
            rows_ok=10,
            rows_err=0,
            part=None,
            error_part=None,
            fingerprint={},
            readings=(Reading(0, 10),),
        )
        _send(connection, claim)


def stop_infra(connection: Any, settings: ComputeSettings) -> None:
    """Blame the surroundings, whatever is asked."""
    while True:
        order = _next_order(connection)
        stopped = Stopped(token=order.token, reason="infra", code="NO_DISK", message="disk is full")
        _send(connection, stopped)


def overflow(connection: Any, settings: ComputeSettings) -> None:
    """Find the disk full, whatever is asked."""
    while True:
        order = _next_order(connection)
        full = Stopped(token=order.token, reason="infra", code="STORAGE_FULL", message="no room")
        _send(connection, full)


def ignore(connection: Any, settings: ComputeSettings) -> None:
    """Never read anything."""
    _for_ever()


def bequeath(connection: Any, settings: ComputeSettings) -> None:
    """Die, but leave the pipe to a child that lives on; tells its id as a row in flight."""
    child = _fork()
    _next_order(connection)
    _send(connection, Progress(rows=0, in_flight=(child,)))
    os._exit(5)


def multiply(connection: Any, settings: ComputeSettings) -> None:
    """Ignore SIGTERM and start a child and a daemon; tells their ids as rows in flight."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child, daemon = _fork(), _daemon()
    _next_order(connection)
    _send(connection, Progress(rows=0, in_flight=(os.getpid(), child, daemon)))
    _for_ever()


def _fork() -> int:
    if pid := os.fork():
        return pid
    _for_ever()
    raise AssertionError("for ever has ended")


def _daemon() -> int:
    """A process of a session of its own whose parent has ended."""
    reading, writing = os.pipe()
    if between := os.fork():
        os.waitpid(between, 0)
        return int(os.read(reading, 20))
    os.setsid()
    if os.fork():
        os._exit(0)
    os.write(writing, str(os.getpid()).encode())
    _for_ever()
    raise AssertionError("for ever has ended")
