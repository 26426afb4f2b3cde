"""The broker: a message there and back, and settings of Redis that lose none."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from kombu.exceptions import KombuError

from millrace.broker import celery_app, direct_queue
from millrace.cli.checks.finding import Finding, fail, ok, warn
from millrace.settings import Settings
from millrace.types import WorkerId

_SECONDS = 5
_TO_REACH_IT = "start it, or correct broker_url; without one, workers look every poll_seconds"


def findings(settings: Settings) -> Iterator[Finding]:
    """What is to be said of the configured broker."""
    url = settings.broker_url
    if not url:
        seen = f"none is configured: idle workers look every {settings.poll_seconds:g} s"
        yield warn("broker", seen, "set broker_url to have them woken at once")
        return
    if _is_open_to_all(url):
        yield warn(
            "broker",
            f"{url} asks for no password and is not on this machine",
            "give it a password, or keep others away from its port",
        )
    with celery_app(url, _SECONDS).connection_for_write() as connection:
        yield from _of_connection(url, connection)


def _of_connection(url: str, connection: Any) -> Iterator[Finding]:
    try:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=_SECONDS)
        if not _there_and_back(connection):
            yield fail("broker", f"{url} took a message and did not give it back", _TO_REACH_IT)
            return
    except (*connection.connection_errors, *connection.channel_errors, KombuError, OSError) as gone:
        cause = f"{type(gone).__name__}: {gone}"
        yield fail("broker", f"{url} does not answer: {cause}", _TO_REACH_IT)
        return
    yield ok("broker", f"{url} took a message and gave it back")
    if url.startswith("redis"):
        yield from _eviction(connection.default_channel.client)


def _there_and_back(connection: Any) -> bool:
    """By a queue of our own, which vanishes even where we do before we have deleted it."""
    queue: Any = direct_queue(WorkerId(f"doctor-{secrets.token_hex(8)}"))
    mailbox = queue(connection.default_channel)
    mailbox.declare()
    try:
        connection.Producer().publish("hello", routing_key=mailbox.name, serializer="json")
        return mailbox.get(no_ack=True) is not None
    finally:
        mailbox.delete()


def _eviction(client: Any) -> Iterator[Finding]:
    from redis.exceptions import RedisError

    try:
        policy = client.config_get("maxmemory-policy").get("maxmemory-policy", "")
    except RedisError:
        return
    if policy != "noeviction":
        yield warn(
            "broker",
            f"Redis may throw messages away (maxmemory-policy {policy}), which costs time only",
            "set maxmemory-policy noeviction",
        )


def _is_open_to_all(url: str) -> bool:
    """Whether a broker on another machine is spoken to without a password."""
    parts = urlsplit(url)
    if parts.password or not parts.hostname:
        return False
    try:
        return not ipaddress.ip_address(parts.hostname).is_loopback
    except ValueError:
        return parts.hostname != "localhost"
