"""A scheduler process: all services over one database, while it leads."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
from collections.abc import Sequence

from millrace.broker import Doorbell
from millrace.clock import Clock, SystemClock
from millrace.db.session import Database
from millrace.errors import Unavailable
from millrace.outbound.client import Outbound
from millrace.outbound.targets import Rules
from millrace.settings import Settings
from millrace.telemetry import fields
from millrace.types import JobId
from scheduler.dispatcher import Dispatcher
from scheduler.finisher import Finisher
from scheduler.leader import Leader, Led
from scheduler.planner import Planner
from scheduler.postman import Postman
from scheduler.rescuer import Rescuer
from scheduler.ringer import Bell, Ringer
from scheduler.runner import Runner, Service
from scheduler.speculator import Speculator

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5
_RESCUE_SECONDS = 2.0
_PLANNER_THREADS = 4


def services(
    database: Database,
    bell: Bell,
    settings: Settings,
    *,
    look: float = _LOOK_SECONDS,
    job_id: JobId | None = None,
) -> list[Service]:
    """What moves jobs on that are planned, looking every `look` seconds; `job_id` serves one."""
    found: list[Service] = [
        Rescuer(database, interval=_RESCUE_SECONDS),
        Finisher(database, interval=look),
        Dispatcher(database, bell, settings, interval=look, job_id=job_id),
    ]
    if settings.speculate:
        found.append(Speculator(database, bell, settings, interval=2 * look))
    return found


def serve(settings: Settings, stop: threading.Event, clock: Clock | None = None) -> None:
    """Schedule until `stop` is set, at those times when no other scheduler does.

    A database or a broker that is away is waited for.
    """
    clock = clock or SystemClock()
    database = Database.connect(settings.database)
    ringer = Ringer(Doorbell(settings.broker_url))
    holder = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    leader = Leader(database, holder, seconds=settings.leader_seconds, clock=clock)
    planner = Planner(
        database,
        slots=None,
        interval=_LOOK_SECONDS,
        threads=_PLANNER_THREADS,
        beat=settings.seen_seconds,
    )
    postman = Postman(database, Outbound(Rules.of(settings)), interval=_LOOK_SECONDS)
    led: Sequence[Service] = [planner, *services(database, ringer, settings), postman]
    try:
        Runner([leader, *(Led(each, leader) for each in led)], clock).run(stop)
    finally:
        _resign(leader)
        ringer.close()
        database.close()


def _resign(leader: Leader) -> None:
    try:
        leader.resign()
    except Unavailable as error:
        log.warning("cannot resign %s", fields(reason=error))
