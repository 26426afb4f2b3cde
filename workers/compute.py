"""The compute child: the process that holds a model and carries out one order after the other.

It sees no database and no broker. It may crash: its worker knows from the last `Progress` which
rows were in flight.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys
from functools import partial
from typing import Literal, NoReturn, Protocol

import pyarrow as pa

from millrace import catalog
from millrace.errors import InvalidInput, MillraceError, ModelError, NotFound
from millrace.storage import s3_endpoint
from workers import device
from workers.confinement import confine
from workers.engine_cache import EngineCache
from workers.engines.base import Limits
from workers.kept_part import taken_over
from workers.order import MAX_MESSAGE_BYTES, Finished, Progress, Stopped, WorkOrder
from workers.pipeline import run_order
from workers.result_types import PinnedTypes
from workers.spawn import ComputeSettings

log = logging.getLogger(__name__)

DEVICE_LOST_STATUS = 70


class HungUp(Exception):
    """The worker is gone; nobody wants the answer."""


class Connection(Protocol):
    """Our end of the pipe to the worker, as `multiprocess.connection.Connection` has it."""

    def recv_bytes(self, maxlength: int | None = None) -> bytes: ...

    def send_bytes(self, buf: bytes) -> None: ...


def serve(connection: Connection, settings: ComputeSettings) -> None:
    """Entry of the process: set it up, then answer orders until the worker hangs up."""
    on = device.resolve(settings.device)
    confine(settings.threads, settings.memory_bytes if on == "cpu" else None)
    pa.set_cpu_count(settings.threads)
    s3 = settings.s3
    s3_endpoint.configure(s3.url, s3.region, s3.addressing, s3.patience)
    _warm(settings.engine)
    answer_orders(connection, on, settings)


def _warm(engine: str | None) -> None:
    """Import ahead what the engine needs; what fails here fails again, and is told, at its load."""
    for name in catalog.engine(engine).imports if engine else ():
        with contextlib.suppress(Exception):
            importlib.import_module(name)


def answer_orders(connection: Connection, on: str, settings: ComputeSettings) -> None:
    """Carry out orders on device `on` until the connection ends."""
    engines = EngineCache(
        on, Limits(settings.memory_bytes, settings.threads), settings.budget_folder
    )
    types = PinnedTypes()
    try:
        while True:
            order = WorkOrder.model_validate_json(connection.recv_bytes(MAX_MESSAGE_BYTES))
            _send(connection, _carry_out(order, engines, types, connection))
            engines.remember()
    except (EOFError, HungUp):
        engines.close()


def _carry_out(
    order: WorkOrder, engines: EngineCache, types: PinnedTypes, connection: Connection
) -> Finished | Stopped:
    try:
        if order.kept is not None and order.kept.is_whole:
            return taken_over(order, order.kept, partial(_send, connection))
        engine, loaded = engines.get(order.spec)
        if engines.is_new:
            _send(connection, Progress(rows=0))
        report = partial(_send, connection)
        return run_order(order, engine, loaded, report, types)
    except device.DeviceLost as error:
        _abandon(error)
    except HungUp:
        raise
    except MillraceError as error:
        return _stopped(order, error)
    except OSError as error:
        message = f"{type(error).__name__}: {error}"
        return Stopped(token=order.token, reason="infra", code="OS_ERROR", message=message)
    except Exception as error:
        log.exception("order failed")
        message = f"{type(error).__name__}: {error}"
        return Stopped(token=order.token, reason="infra", code="INTERNAL", message=message[:2_000])


def _stopped(order: WorkOrder, error: MillraceError) -> Stopped:
    reason: Literal["infra", "model", "permanent"]
    match error:
        case ModelError():
            reason = "model"
        case InvalidInput() | NotFound():
            reason = "permanent"
        case _:
            reason = "infra"
    return Stopped(
        token=order.token, reason=reason, code=error.code, message=error.message, hint=error.hint
    )


def _send(connection: Connection, message: Finished | Stopped | Progress) -> None:
    try:
        connection.send_bytes(message.model_dump_json().encode())
    except OSError as error:
        raise HungUp from error


def _abandon(error: Exception) -> NoReturn:
    """End as a crash: the rows in flight are its suspects, and a new process gets a new context."""
    log.error("the device is lost: %s", error)
    sys.stderr.flush()
    os._exit(DEVICE_LOST_STATUS)
