"""Waiting for a database that is still coming up, and saying so."""

from __future__ import annotations

import logging
import time

from millrace.cli.state import open_state
from millrace.errors import Unavailable
from millrace.settings import Settings
from millrace.telemetry import fields

log = logging.getLogger(__name__)

_TRY_SECONDS = 1.0


def wait_for_database(settings: Settings) -> None:
    """Return as soon as the database answers and has our tables.

    Raises `Unavailable` where that is not so after `startup_seconds`.
    """
    until = time.monotonic() + settings.startup_seconds
    told = ""
    while True:
        try:
            with open_state(settings):
                return
        except Unavailable as error:
            left = until - time.monotonic()
            if left < _TRY_SECONDS:
                raise
            if error.code != told:
                told = error.code
                log.warning("waiting for the database %s", fields(seconds=round(left), why=error))
        time.sleep(_TRY_SECONDS)
