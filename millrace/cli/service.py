"""How every service begins and ends: settings, a log, a database that is there, and a last word."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from millrace.cli.equipment import equipped
from millrace.cli.patience import wait_for_database
from millrace.settings import Settings
from millrace.telemetry import configure_logging, fields

log = logging.getLogger(__name__)


@contextmanager
def service(name: str, *matters: str, **asked: Any) -> Iterator[Settings]:
    """Settings for a service whose database is up to date.

    `asked` are the flags that were given, `matters` the settings that the log is told of. Raises
    `Unavailable` where the database does not come up.
    """
    settings = equipped(**asked)
    with announced(name, settings, **{each: getattr(settings, each) for each in matters}):
        wait_for_database(settings)
        yield settings


@contextmanager
def announced(name: str, settings: Settings, **told: object) -> Iterator[None]:
    """Set up the log of this process and tell it that the service starts and that it stops."""
    configure_logging(settings.log_level, settings.log_format)
    places = {"database": settings.database, "broker": settings.broker_url or "none"}
    about = {"version": version("millrace"), "pid": os.getpid(), **places, **told}
    log.info("%s starts %s", name, fields(**about))
    try:
        yield
    finally:
        log.info("%s stops %s", name, fields(pid=os.getpid()))
