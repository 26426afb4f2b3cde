"""The one client for URLs that somebody else has named.

It goes to the addresses that were looked at and nowhere else, follows no redirect, asks no proxy,
keeps no connection and hands out no byte of what comes back, only the status.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

import httpcore2
from httpcore2 import SOCKET_OPTION, NetworkBackend, NetworkStream

from millrace.outbound.targets import (
    Resolve,
    Rules,
    Target,
    TargetForbidden,
    addresses_of,
    resolved,
    target_of,
)

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 10.0
WHOLE_SECONDS = 15.0
"""However slowly it drips, a request has its end after so long."""
MOST_BYTES = 64 << 10
"""So much of an answer is read before we hang up, to be polite to who writes one."""


class Fault(StrEnum):
    """Why there is no answer, told as a class: no text of the other side."""

    FORBIDDEN = "forbidden"
    CONNECTION = "connection"
    TLS = "tls"
    TIMEOUT = "timeout"
    PROTOCOL = "protocol"


class NoAnswer(Exception):
    """The request has not come to an answer, for a `Fault`."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


class Outbound:
    """Posts to URLs that the rules allow; from any thread."""

    def __init__(
        self,
        rules: Rules,
        *,
        resolve: Resolve = resolved,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._rules = rules
        self._resolve = resolve
        self._tls = tls or ssl.create_default_context()

    def check(self, url: str) -> None:
        """`TargetForbidden` where the URL could not be called at this moment."""
        addresses_of(target_of(url, self._rules), self._rules, self._resolve)

    def post(self, url: str, headers: Mapping[str, str], content: bytes) -> int:
        """The status of the answer; `NoAnswer` where there is none."""
        deadline = time.monotonic() + WHOLE_SECONDS
        try:
            target = target_of(url, self._rules)
            addresses = addresses_of(target, self._rules, self._resolve)
            return self._status(target, _Route(addresses, deadline), headers, content)
        except TargetForbidden:
            raise NoAnswer(Fault.FORBIDDEN) from None
        except httpcore2.TimeoutException:
            raise NoAnswer(Fault.TIMEOUT) from None
        except httpcore2.NetworkError:
            raise NoAnswer(Fault.CONNECTION) from None
        except (httpcore2.ProtocolError, httpcore2.UnsupportedProtocol):
            raise NoAnswer(Fault.PROTOCOL) from None

    def _status(
        self, target: Target, route: NetworkBackend, headers: Mapping[str, str], content: bytes
    ) -> int:
        limits = {"connect": CONNECT_SECONDS, "read": SILENCE_SECONDS, "write": SILENCE_SECONDS}
        url = httpcore2.URL(
            scheme=target.scheme, host=target.host, port=target.port, target=target.path
        )
        told = {"Host": target.authority, "Connection": "close", **headers}
        with (
            httpcore2.ConnectionPool(self._tls, network_backend=route) as pool,
            pool.stream(
                "POST",
                url,
                headers=list(told.items()),
                content=content,
                extensions={"timeout": limits},
            ) as response,
        ):
            _drain(response)
            return response.status


def _drain(response: httpcore2.Response) -> None:
    read = 0
    try:
        for part in response.iter_stream():
            read += len(part)
            if read >= MOST_BYTES:
                return
    except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError):
        return  # the status is known, and that is all that counts


class _Route(NetworkBackend):
    """Connects to the addresses that were looked at, whatever the name says by now."""

    def __init__(self, addresses: Sequence[str], deadline: float) -> None:
        self._addresses = addresses
        self._deadline = deadline
        self._sockets = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> NetworkStream:
        limit = min(self._deadline, time.monotonic() + CONNECT_SECONDS)
        for address in self._addresses[:-1]:
            try:
                return self._connected(address, port, limit)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return self._connected(self._addresses[-1], port, limit)

    def _connected(self, address: str, port: int, limit: float) -> NetworkStream:
        left = _left(limit, httpcore2.ConnectTimeout)
        return _Limited(self._sockets.connect_tcp(address, port, timeout=left), self._deadline)


class _Limited(NetworkStream):
    """A connection of which nothing takes longer than to the deadline."""

    def __init__(self, stream: NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._within(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._within(timeout, httpcore2.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> NetworkStream:
        left = self._within(timeout, httpcore2.ConnectTimeout)
        try:
            secured = self._stream.start_tls(ssl_context, server_hostname, left)
        except httpcore2.ConnectError as error:
            if isinstance(error.__cause__, ssl.SSLError):
                raise NoAnswer(Fault.TLS) from None
            raise
        return _Limited(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _within(self, timeout: float | None, late: type[Exception]) -> float:
        left = _left(self._deadline, late)
        return left if timeout is None else min(timeout, left)


def _left(deadline: float, late: type[Exception]) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise late
    return left
