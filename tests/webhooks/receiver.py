"""A real HTTP(S) server that notes what it is told and answers as a test wants."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Told:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """Answers with the next of `script`, then with `status`; a script entry may be a function."""

    url: str = ""
    port: int = 0
    status: int = 204
    told: list[Told] = field(default_factory=list)
    script: list[int | Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=list)
    open: threading.Event = field(default_factory=threading.Event)
    """Whoever hangs does so until it is set."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def ids(self) -> list[str]:
        return [each.headers["webhook-id"] for each in self.told]

    def hang(self, request: BaseHTTPRequestHandler) -> None:
        self.open.wait(30)
        request.close_connection = True


def answering(status: int, body: bytes = b"", **headers: str) -> Callable[..., None]:
    """A whole answer for a script."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


@contextmanager
def receiving(tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> Iterator[Receiver]:
    """A receiver that listens until the end of the block."""
    receiver = Receiver()

    class Requests(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            with receiver.lock:
                receiver.told.append(Told(self.path, headers, body))
                step = receiver.script.pop(0) if receiver.script else receiver.status
            if isinstance(step, int):
                answering(step)(self)
            else:
                step(self)

        def log_request(self, *_: object) -> None:
            """Say nothing."""

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up is no fault."""

    server = Quiet((host, 0), Requests)
    if tls is not None:
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    receiver.port = server.server_address[1]
    receiver.url = f"http{'s' if tls else ''}://{host}:{receiver.port}/hook"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.open.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
