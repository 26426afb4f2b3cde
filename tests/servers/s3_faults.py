"""A proxy before an S3 server that misbehaves as told, and notes every operation.

::

    with S3Faults(moto.url, seed=7) as faults, connected(faults.url):
        faults.add(Kind.SLOW_DOWN, share=0.3)                          # 30 % of all operations
        faults.add(Kind.SWALLOW, "PutObject", key="_MANIFEST", times=1)
        faults.add(Kind.TRUNCATE, "GetObject", at=1_000, times=3)
        ...
        faults.heal()
        assert faults.done("PutObject", key="parts/")

Rules are tried in the order in which they were added; the first that applies is used. Without rules
it only passes on. Any number of clients and processes may use it at a time.
"""

from __future__ import annotations

import http.client
import http.server
import random
import socket
import threading
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from urllib.parse import urlsplit

from tests.servers.s3_operation import Asked, asked

_HOP = frozenset({"connection", "expect", "keep-alive", "transfer-encoding", "content-length"})
_CONDITIONS = frozenset({"if-match", "if-none-match"})
_ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>as told</Message></Error>"


class Kind(StrEnum):
    """What goes wrong with one operation."""

    SLOW_DOWN = "503 SlowDown, nothing done"
    FAIL_AFTER = "500 InternalError although it was done"
    SWALLOW = "done, and the connection closed without an answer"
    REFUSE = "the connection closed without an answer, nothing done"
    TRUNCATE = "an answer whose body ends after `at` bytes, as if there were more"
    DRIP = "an answer whose body comes at `at` bytes a second"
    OTHER_ETAG = "an answer with another ETag"
    DENY_CONDITION = "412 PreconditionFailed, nothing done"
    FORBID = "403 AccessDenied, nothing done"
    EXPIRE = "400 ExpiredToken, nothing done"
    FORGET_CONDITIONS = "done as if no If-Match and If-None-Match were there"
    FORGET_RANGE = "done as if no Range were asked for"
    LOSE = "200 although nothing was done"
    CORRUPT = "one bit of the request's body flipped on the way"


@dataclass(frozen=True, slots=True)
class Operation:
    """One request that came, and what became of it."""

    asked: Asked
    status: int
    """What the server said; 0 where it was not asked."""
    fault: Kind | None


@dataclass(slots=True)
class _Rule:
    kind: Kind
    operations: frozenset[str]
    key: str
    share: float
    times: int
    at: int


@dataclass(slots=True)
class _Answer:
    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""


class S3Faults:
    """A server at `url` that passes on to `upstream`; a with block starts and ends it."""

    def __init__(self, upstream: str, seed: int = 0) -> None:
        self.operations: list[Operation] = []
        """Everything that was asked, in the order of the answers."""
        self._upstream = urlsplit(upstream).netloc
        self._rules: list[_Rule] = []
        self._lock = threading.Lock()
        self._random = random.Random(seed)
        self._ended = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Exchange)
        self._server.faults = self
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def add(
        self,
        kind: Kind,
        *operations: str,
        key: str = "",
        share: float = 1.0,
        times: int = 1 << 62,
        at: int = 0,
    ) -> None:
        """From now on have `share` of these operations (all, if none is named) on keys that contain
        `key` go wrong, `times` times at most.
        """
        with self._lock:
            self._rules.append(_Rule(kind, frozenset(operations), key, share, times, at))

    def heal(self) -> None:
        """Forget all rules."""
        with self._lock:
            self._rules.clear()

    def done(self, operation: str, key: str = "") -> list[Operation]:
        """The operations so called, on keys that contain `key`, that reached the server."""
        return [
            each
            for each in list(self.operations)
            if each.asked.operation == operation and key in each.asked.key and each.status
        ]

    def __enter__(self) -> S3Faults:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def rule_for(self, what: Asked) -> _Rule | None:
        """The rule that this operation falls under; it counts as used."""
        with self._lock:
            for rule in self._rules:
                named = not rule.operations or what.operation in rule.operations
                if not named or rule.key not in what.key or not rule.times:
                    continue
                if self._random.random() < rule.share:
                    rule.times -= 1
                    return rule
        return None

    def note(self, operation: Operation) -> None:
        with self._lock:
            self.operations.append(operation)

    def forward(self, method: str, target: str, headers: dict[str, str], body: bytes) -> _Answer:
        """Have the server carry it out."""
        connection = http.client.HTTPConnection(self._upstream, timeout=60)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return _Answer(answer.status, answer.getheaders(), answer.read())
        finally:
            connection.close()

    def pause(self, seconds: float) -> bool:
        """Wait; true where the proxy has ended meanwhile."""
        return self._ended.wait(seconds)


class _Server(http.server.ThreadingHTTPServer):
    faults: S3Faults
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is nothing to report."""


class _Exchange(http.server.BaseHTTPRequestHandler):
    """The requests of one connection."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """Silence: `S3Faults.operations` tells."""

    def _carry_out(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        faults, what = self.server.faults, asked(self.command, self.path)
        rule = faults.rule_for(what)
        kind = None if rule is None else rule.kind
        answer = self._refusal(kind)
        reached = answer is None and kind is not Kind.REFUSE
        if reached:
            answer = faults.forward(self.command, self.path, self._passed(kind), _sent(body, kind))
        faults.note(Operation(what, answer.status if reached and answer else 0, kind))
        self._reply(answer, kind, rule.at if rule is not None else 0)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _carry_out  # noqa: N815

    def _passed(self, kind: Kind | None) -> dict[str, str]:
        left_out = _HOP
        if kind is Kind.FORGET_CONDITIONS:
            left_out |= _CONDITIONS
        elif kind is Kind.FORGET_RANGE:
            left_out |= {"range"}
        return {name: value for name, value in self.headers.items() if name.lower() not in left_out}

    def _refusal(self, kind: Kind | None) -> _Answer | None:
        match kind:
            case Kind.SLOW_DOWN:
                return _error(503, "SlowDown")
            case Kind.LOSE:
                return _Answer(200, [("ETag", '"0123456789abcdef0123456789abcdef"')])
            case Kind.DENY_CONDITION:
                return _error(412, "PreconditionFailed")
            case Kind.FORBID:
                return _error(403, "AccessDenied")
            case Kind.EXPIRE:
                return _error(400, "ExpiredToken")
            case _:
                return None

    def _reply(self, answer: _Answer | None, kind: Kind | None, at: int) -> None:
        match kind:
            case Kind.REFUSE | Kind.SWALLOW:
                self._hang_up()
            case Kind.FAIL_AFTER:
                self._send(_error(500, "InternalError"))
            case Kind.TRUNCATE:
                assert answer is not None
                self._send(answer, answer.body[:at])
                self._hang_up()
            case Kind.DRIP:
                assert answer is not None
                self._drip(answer, at)
            case Kind.OTHER_ETAG:
                assert answer is not None
                kept = [each for each in answer.headers if each[0].lower() != "etag"]
                answer.headers = [*kept, ("ETag", '"0123456789abcdef0123456789abcdef"')]
                self._send(answer)
            case _:
                assert answer is not None
                self._send(answer)

    def _send(self, answer: _Answer, body: bytes | None = None) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        length = next((v for n, v in answer.headers if n.lower() == "content-length"), None)
        of_head = self.command == "HEAD" and length is not None
        self.send_header("Content-Length", str(length) if of_head else str(len(answer.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body if body is None else body)

    def _drip(self, answer: _Answer, rate: int) -> None:
        self._send(answer, b"")
        for byte in answer.body:
            if self.server.faults.pause(1 / rate):
                return
            self.wfile.write(bytes([byte]))

    def _hang_up(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)


def _error(status: int, code: str) -> _Answer:
    return _Answer(status, [("Content-Type", "application/xml")], _ERROR.format(code=code).encode())


def _sent(body: bytes, kind: Kind | None) -> bytes:
    return bytes([body[0] ^ 1]) + body[1:] if kind is Kind.CORRUPT and body else body
