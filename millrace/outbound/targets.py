"""Which URLs may be called, and which addresses may be behind them."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

from millrace.settings import Settings

LONGEST = 2_048

_PRINTABLE = re.compile(r"[!-\[\]-~]+", re.ASCII)
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_.])?", re.ASCII)
_PORTS = {"https": 443, "http": 80}
_NAT64 = IPv6Network("64:ff9b::/96")

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Sequence[str]]
"""From a host and a port to its addresses; `OSError` where there are none."""


class Forbidden(StrEnum):
    """Why a URL must not be called, told as a class, so that nobody can map a network by it."""

    LENGTH = "length"
    CHARACTERS = "characters"
    SCHEME = "scheme"
    CREDENTIALS = "credentials"
    FRAGMENT = "fragment"
    HOST = "host"
    PORT = "port"
    ADDRESS = "address"


class TargetForbidden(Exception):
    """The URL must not be called, for a `Forbidden` reason."""

    def __init__(self, reason: Forbidden) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator lets others call."""

    ports: frozenset[int] = frozenset({443})
    networks: tuple[Network, ...] = ()
    """Where addresses may be beside the public internet."""
    plain: bool = False
    """Whether ``http://`` will do."""

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        """What the settings let webhooks be."""
        return cls(
            frozenset(settings.webhook_ports), settings.webhook_networks, settings.webhook_http
        )


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart; what is sent is made of these parts, so there is no second reading."""

    scheme: str
    host: str
    """Without the brackets of an IPv6 address."""
    port: int
    path: str
    """With the query."""

    @property
    def authority(self) -> str:
        """What the header Host says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def target_of(url: str, rules: Rules) -> Target:
    """The parts of a URL by its text alone; `TargetForbidden` where that is enough to refuse it."""
    if len(url) > LONGEST:
        raise TargetForbidden(Forbidden.LENGTH)
    if not _PRINTABLE.fullmatch(url):
        raise TargetForbidden(Forbidden.CHARACTERS)
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname or ""
    except ValueError:
        raise TargetForbidden(Forbidden.HOST) from None
    if parts.scheme != "https" and not (parts.scheme == "http" and rules.plain):
        raise TargetForbidden(Forbidden.SCHEME)
    if "@" in parts.netloc:
        raise TargetForbidden(Forbidden.CREDENTIALS)
    if "#" in url:
        raise TargetForbidden(Forbidden.FRAGMENT)
    if not (_is_ipv6(host) if "[" in parts.netloc else _HOST_NAME.fullmatch(host)):
        raise TargetForbidden(Forbidden.HOST)
    port = _PORTS[parts.scheme] if port is None else port
    if port not in rules.ports:
        raise TargetForbidden(Forbidden.PORT)
    path = parts.path or "/"
    return Target(parts.scheme, host, port, f"{path}?{parts.query}" if parts.query else path)


def addresses_of(target: Target, rules: Rules, resolve: Resolve) -> list[str]:
    """Where the target is, asked once; `TargetForbidden` unless every address may be called."""
    try:
        found = list(resolve(target.host, target.port))
    except (OSError, UnicodeError):
        found = []
    if not found or not all(_may_be_called(each, rules) for each in found):
        raise TargetForbidden(Forbidden.ADDRESS)
    return found


def resolved(host: str, port: int) -> list[str]:
    """The addresses of a host as this machine sees them, the preferred one first."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _may_be_called(text: str, rules: Rules) -> bool:
    try:
        address = _meant(ip_address(text))
    except ValueError:
        return False
    if any(address in network for network in rules.networks):
        return True
    is_local = isinstance(address, IPv6Address) and (
        address.is_site_local or address.sixtofour is not None or address.teredo is not None
    )
    return (
        address.is_global and not address.is_multicast and not address.is_reserved and not is_local
    )


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, where it does so for the machine or NAT64."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address


def _is_ipv6(host: str) -> bool:
    try:
        return isinstance(ip_address(host), IPv6Address)
    except ValueError:
        return False
