"""Where the API is and who asks: arguments, else ``MILLRACE_URL`` and ``MILLRACE_API_KEY``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

import httpx

from millrace.client.calls import Call
from millrace.errors import AccessDenied, UsageError

URL = "MILLRACE_URL"
API_KEY = "MILLRACE_API_KEY"
_CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Address:
    """One server, and the headers by which it knows us."""

    url: str
    headers: dict[str, str]
    timeout: float

    @classmethod
    def of(cls, url: str | None, api_key: str | None, timeout: float) -> Address:
        """The address that was given or is in the environment.

        Raises `UsageError` for what is no URL and `AccessDenied` where there is no key.
        """
        base = (url or os.environ.get(URL, "")).strip().rstrip("/")
        key = (api_key or os.environ.get(API_KEY, "")).strip()
        _check(base)
        if not (key and key.isascii() and key.isprintable()):
            raise AccessDenied(
                "AUTH_MISSING",
                f"there is no key for {base}" if not key else "a key has printable ASCII only",
                f"set {API_KEY}; an operator makes one: millrace keys create",
            )
        agent = f"millrace/{version('millrace')}"
        return cls(base, {"Authorization": f"Bearer {key}", "User-Agent": agent}, timeout)

    def options(self) -> dict[str, Any]:
        """How a client of httpx gets there."""
        return {"base_url": self.url, "headers": self.headers, "timeout": self._limits(None)}

    def request(self, call: Call[Any]) -> dict[str, Any]:
        """A call as what httpx builds a request of."""
        sent: dict[str, Any] = {
            "method": call.method,
            "url": call.path,
            "params": {name: each for name, each in call.params.items() if each is not None},
            "headers": dict(call.headers),
            "timeout": self._limits(call.silence),
        }
        if call.body is not None:
            sent["content"] = call.body.model_dump_json(exclude_defaults=True)
            sent["headers"] |= {"Content-Type": "application/json"}
        return sent

    def _limits(self, silence: float | None) -> httpx.Timeout:
        return httpx.Timeout(self.timeout, connect=_CONNECT_SECONDS, read=silence or self.timeout)


def _check(base: str) -> None:
    hint = f"give one such as http://127.0.0.1:8080, or set {URL}"
    if not base:
        raise UsageError("URL_MISSING", "no server is named", hint)
    try:
        parts = urlsplit(base)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        httpx.URL(base)
    except (ValueError, httpx.InvalidURL):
        usable = False
    if not usable or parts.query or parts.fragment or parts.username:
        raise UsageError("URL_INVALID", "the URL of the server cannot be used", hint)
