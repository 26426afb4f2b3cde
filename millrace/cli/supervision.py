"""Keeps a crew at work until somebody asks it to end, whatever becomes of its members."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from millrace.cli.crew import Crew
from millrace.cli.housemate import Housemate
from millrace.db.session import Database
from millrace.settings import Settings
from millrace.telemetry import fields

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.2
_QUICK_DEATHS = 2
_MARGIN_SECONDS = 30.0


def supervise(
    size: int,
    settings: Settings,
    requests: queue.SimpleQueue[int],
    *,
    output: Path | None = None,
    beneath: Sequence[Housemate] = (),
    beside: Sequence[Housemate] = (),
    look: Callable[[], None] = lambda: None,
) -> None:
    """Keep `size` workers alive; return when all have left after the first of `requests`.

    Each request is passed on: the first makes workers drain, the second leave at once. Those that
    stay for half a minute beyond the grace that they have are killed. So it is with what runs
    `beside`; what they all stand on, `beneath`, ends last. `look` is called several times a second.
    """
    database = Database.connect(settings.database)
    try:
        for each in (*beneath, *beside):
            each.keep()
        with Crew(size, settings, database, output=output) as crew:
            while not _asked(requests):
                for each in (*beneath, *beside):
                    each.keep()
                _replace_the_dead(crew, most_deaths=_QUICK_DEATHS * size)
                look()
            _let_go([crew, *beside], requests, settings.grace_seconds + _MARGIN_SECONDS)
    finally:
        for each in (*beside, *beneath):
            each.kill()
        database.close()


def _replace_the_dead(crew: Crew, *, most_deaths: int) -> None:
    """Where workers die as soon as they are started, a few of them in ten seconds are enough."""
    for code in crew.bury():
        log.warning("worker process ended %s", fields(exit_code=code))
    if crew.recent_deaths() <= most_deaths:
        crew.fill()


def _let_go(
    running: Sequence[Crew | Housemate], requests: queue.SimpleQueue[int], seconds: float
) -> None:
    until = time.monotonic() + seconds
    log.info("draining; a second signal releases what runs")
    for each in running:
        each.drain()
    at_once = False
    while not all(each.is_gone() for each in running) and time.monotonic() < until:
        if _asked(requests):
            log.info("leaving at once")
            at_once = True
        if at_once:
            # again and again: two signals that come before a worker looks are one to it
            for each in running:
                each.drain()


def _asked(requests: queue.SimpleQueue[int]) -> bool:
    try:
        requests.get(timeout=_LOOK_SECONDS)
    except queue.Empty:
        return False
    return True
