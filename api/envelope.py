"""What is around every answer: a request id, headers of caution, and no inner life of ours.

It stands outside of the framework, so nothing that goes wrong inside reaches a client as it is.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.metrics import REQUEST_SECONDS
from millrace.telemetry import fields

log = logging.getLogger(__name__)

_CAUTION = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_CONTENT_POLICY = "default-src 'none'; frame-ancestors 'none'"
_DOCS = "/docs"
_IDLE_BODY_SECONDS = 20.0


class Envelope:
    """ASGI middleware around a whole application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[problems.REQUEST_ID] = uuid.uuid4().hex
        await _Exchange(scope, receive, send).through(self._app)


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive_from_client = receive
        self._send_to_client = send
        self._body_is_whole = False
        self._status = 0
        self._replaced = False
        self._began = time.perf_counter()

    async def through(self, app: ASGIApp) -> None:
        try:
            await app(self._scope, self._receive, self._send)
        except Exception:
            log.exception("not foreseen %s", fields(**self._told()))
            if not self._status:
                await self._refuse(500)
            elif not self._replaced:
                raise
        finally:
            self._observe()

    async def _receive(self) -> Message:
        """The next message; a client that stops in the midst of its body is told so."""
        if self._body_is_whole:
            return await self._receive_from_client()
        try:
            async with asyncio.timeout(_IDLE_BODY_SECONDS):
                message = await self._receive_from_client()
        except TimeoutError:
            raise problems.Refusal(
                408, "BODY_TOO_SLOW", "the body did not arrive in time", "send it again"
            ) from None
        self._body_is_whole = not message.get("more_body", False)
        return message

    async def _send(self, message: Message) -> None:
        if self._replaced:
            return
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            # The framework's last words are plain texts; ours never are.
            plain = headers.get("content-type", "").startswith("text/plain")
            if message["status"] >= 400 and plain:
                self._replaced = True
                await self._refuse(message["status"])
                return
            self._status = message["status"]
            self._mark(headers)
        await self._send_to_client(message)

    async def _refuse(self, status: int) -> None:
        self._status = status
        code = problems.CODE_OF_STATUS.get(status, "REFUSED")
        detail, hint = _LAST_WORDS.get(status, ("the request was refused", ""))
        detail = detail.format(limit=problems.body_limit(self._scope))
        answer = problems.problem(status, code, detail, self._scope, hint=hint)
        self._mark(answer.headers)
        await answer(self._scope, self._receive_from_client, self._send_to_client)

    def _mark(self, headers: MutableHeaders) -> None:
        headers["X-Request-Id"] = problems.request_id_of(self._scope)
        for name, value in _CAUTION.items():
            headers.setdefault(name, value)
        if self._scope["path"] != _DOCS:
            headers["Content-Security-Policy"] = _CONTENT_POLICY

    def _told(self) -> dict[str, object]:
        return {
            "request": problems.request_id_of(self._scope),
            "method": self._scope["method"],
            "path": self._scope["path"],
        }

    def _observe(self) -> None:
        route = getattr(self._scope.get("route"), "path", "none")
        took = time.perf_counter() - self._began
        method = self._scope["method"]
        known = method if method in _METHODS else "other"
        REQUEST_SECONDS.labels(known, route, str(self._status)).observe(took)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_LAST_WORDS = {
    413: ("the body is larger than {limit:,} bytes", "send less"),
    500: ("something went wrong that we did not foresee", "tell an operator the request id"),
}
