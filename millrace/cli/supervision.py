"""Keeps a crew at work until somebody asks it to end, whatever becomes of its members."""

from __future__ import annotations

import logging
import queue
import time

from millrace.cli.crew import Crew
from millrace.db.session import Database
from millrace.settings import Settings
from millrace.telemetry import fields

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
_QUICK_DEATHS = 2
_MARGIN_SECONDS = 30.0


def supervise(size: int, settings: Settings, requests: queue.SimpleQueue[int]) -> None:
    """Keep `size` workers alive; return when all have left after the first of `requests`.

    Each request is passed on: the first makes workers drain, the second leave at once. Those that
    stay for half a minute beyond the grace that they have are killed.
    """
    database = Database.connect(settings.database)
    try:
        with Crew(size, settings, database) as crew:
            while not _asked(requests):
                _replace_the_dead(crew, most_deaths=_QUICK_DEATHS * size)
            _let_go(crew, requests, settings.grace_seconds + _MARGIN_SECONDS)
    finally:
        database.close()


def _replace_the_dead(crew: Crew, *, most_deaths: int) -> None:
    """Where workers die as soon as they are started, a few of them in ten seconds are enough."""
    for code in crew.bury():
        log.warning("worker process ended %s", fields(exit_code=code))
    if crew.recent_deaths() <= most_deaths:
        crew.fill()


def _let_go(crew: Crew, requests: queue.SimpleQueue[int], seconds: float) -> None:
    until = time.monotonic() + seconds
    log.info("draining; a second signal releases what runs")
    crew.drain()
    at_once = False
    while not crew.is_gone() and time.monotonic() < until:
        if _asked(requests):
            log.info("leaving at once")
            at_once = True
        if at_once:
            # again and again: two signals that come before a worker looks are one to it
            crew.drain()


def _asked(requests: queue.SimpleQueue[int]) -> bool:
    try:
        requests.get(timeout=_LOOK_SECONDS)
    except queue.Empty:
        return False
    return True
