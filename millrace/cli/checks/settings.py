"""Settings that contradict one another, and secrets that others can read."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from millrace.cli.checks.finding import Finding, ok, warn
from millrace.settings import Settings
from millrace.settings_sources import config_file, keys_of

_BEATS_PER_LEASE = 3


def findings(settings: Settings) -> Iterator[Finding]:
    """What is wrong with the settings as such."""
    path = config_file()
    yield ok("settings", f"defaults, environment{'' if path is None else f', {path}'}")
    if path is not None and _holds_password(path) and path.stat().st_mode & stat.S_IROTH:
        yield warn(
            "settings", f"{path} holds a password and anybody can read it", f"chmod 640 {path}"
        )
    if settings.heartbeat_seconds * _BEATS_PER_LEASE > settings.lease_seconds:
        yield warn(
            "settings",
            f"heartbeat_seconds {settings.heartbeat_seconds:g} is long beside lease_seconds "
            f"{settings.lease_seconds:g}: one late heartbeat costs a block",
            "make the lease at least three heartbeats long",
        )


def _holds_password(path: Path) -> bool:
    return any(has_password(value) for value in keys_of(path).values() if isinstance(value, str))


def has_password(url: str) -> bool:
    """Whether a URL names a password."""
    try:
        return make_url(url).password is not None
    except ArgumentError:
        return False
