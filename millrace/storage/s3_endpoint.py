"""Where S3 is and how long to wait for it, as each process is told once; imports nothing slow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from millrace.errors import UsageError

Addressing: TypeAlias = Literal["auto", "path", "virtual"]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to put up with a server; all times in seconds."""

    rounds: int = 3
    """How often to begin anew, each with `attempts` requests."""
    attempts: int = 4
    pause: float = 1.0
    """The longest wait before the second round; it doubles before each further one."""
    connect: float = 5.0
    read: float = 30.0
    """Silence after which an answer counts as lost."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where S3 is; empty values leave it to AWS's own configuration."""

    url: str = ""
    region: str = ""
    addressing: Addressing = "auto"
    patience: Patience = Patience()


_told: list[Endpoint] = [Endpoint()]


def configure(
    endpoint_url: str = "",
    region: str = "",
    addressing: Addressing = "auto",
    patience: Patience | None = None,
) -> None:
    """Say where S3 is, for this process; `UsageError` for an endpoint that is no such address."""
    if endpoint_url:
        _check_endpoint(endpoint_url)
    _told[:] = [Endpoint(endpoint_url, region, addressing, patience or Patience())]


def endpoint() -> Endpoint:
    """Where S3 is, as this process was told."""
    return _told[0]


def _check_endpoint(url: str) -> None:
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if "@" in parts.netloc:
        raise UsageError(
            "SETTING_INVALID",
            "the S3 endpoint holds a user name or a password",
            "give keys as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            "SETTING_INVALID",
            "the S3 endpoint is no address of a server",
            "write it as https://host or http://host:9000",
        )
