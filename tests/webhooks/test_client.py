"""Whatever the other side does, a request has its end and nobody else is asked anything."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler
from ipaddress import ip_network

import pytest
import trustme

from millrace.outbound import client
from millrace.outbound.client import Fault, NoAnswer, Outbound
from millrace.outbound.targets import Rules
from tests.servers.ports import free_port
from tests.waiting import until
from tests.webhooks.receiver import Receiver, answering, receiving

LOOPBACK = (ip_network("127.0.0.0/8"),)


def rules(*receivers: Receiver, plain: bool = True) -> Rules:
    return Rules(frozenset(each.port for each in receivers), LOOPBACK, plain)


def fault(outbound: Outbound, url: str) -> Fault:
    with pytest.raises(NoAnswer) as none:
        outbound.post(url, {}, b"{}")
    assert str(none.value) == none.value.fault.value
    return none.value.fault


def test_a_post_is_what_was_asked_for() -> None:
    with receiving() as receiver:
        status = Outbound(rules(receiver)).post(
            f"{receiver.url}?to=us", {"webhook-id": "msg_1"}, b'{"a": 1}'
        )
    assert status == 204
    [told] = receiver.told
    assert (told.path, told.body) == ("/hook?to=us", b'{"a": 1}')
    assert told.headers["webhook-id"] == "msg_1"
    assert told.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert told.headers["content-length"] == "8"


def test_a_redirect_is_an_answer_and_not_a_way() -> None:
    with receiving() as receiver, receiving() as canary:
        places = ["http://169.254.169.254/latest/meta-data/", canary.url]
        for place in places:
            receiver.script.append(answering(302, Location=place))
            assert Outbound(rules(receiver, canary)).post(receiver.url, {}, b"{}") == 302
    assert canary.told == []


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiving() as receiver, receiving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert Outbound(rules(receiver)).post(receiver.url, {}, b"{}") == 204
    assert proxy.told == []


def test_of_a_huge_answer_little_is_read() -> None:
    """Ten gigabytes, of which we take a little and hang up."""
    sent: list[int] = []

    def endless(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(10 << 30))
        request.end_headers()
        taken = 0
        try:
            while taken < 10 << 30:
                taken += request.wfile.write(b"x" * 65_536)
        except OSError:
            sent.append(taken)

    with receiving() as receiver:
        receiver.script.append(endless)
        assert Outbound(rules(receiver)).post(receiver.url, {}, b"{}") == 200
        until(lambda: sent, "we hang up")
    assert sent[0] < 64 << 20


def drip(pause: threading.Event) -> Callable[[BaseHTTPRequestHandler], None]:
    """Headers that never end, a byte at a time, each well within the patience for one."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        try:
            request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not pause.wait(0.02):
                request.wfile.write(b"x")
        except OSError:
            pause.set()

    return answer


def test_an_answer_that_drips_has_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "WHOLE_SECONDS", 0.5)
    pause = threading.Event()
    with receiving() as receiver:
        receiver.script.append(drip(pause))
        assert fault(Outbound(rules(receiver)), receiver.url) is Fault.TIMEOUT
        assert pause.wait(10), "we hang up"


@pytest.mark.parametrize("limit", ["SILENCE_SECONDS", "WHOLE_SECONDS"])
def test_whoever_says_nothing_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(client, limit, 0.3)
    began = time.monotonic()
    with receiving() as receiver:
        receiver.script.append(receiver.hang)
        assert fault(Outbound(rules(receiver)), receiver.url) is Fault.TIMEOUT
        assert time.monotonic() - began < 8


def test_whoever_talks_something_else_or_is_not_there() -> None:
    def nonsense(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(b"220 smtp.example ESMTP\r\n")
        request.close_connection = True

    with receiving() as receiver:
        receiver.script.append(nonsense)
        assert fault(Outbound(rules(receiver)), receiver.url) is Fault.PROTOCOL
    gone = free_port()
    nobody = Outbound(Rules(frozenset({gone}), LOOPBACK, plain=True))
    assert fault(nobody, f"http://127.0.0.1:{gone}/") is Fault.CONNECTION


def test_a_name_that_changes_its_mind_is_asked_only_once() -> None:
    """What counts is what was looked at, and each request looks anew."""
    answers = [["127.0.0.2"], ["127.0.0.1"], ["127.0.0.1"]]
    asked: list[str] = []

    def flipping(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return answers.pop(0)

    only = (ip_network("127.0.0.2/32"),)
    with receiving(host="127.0.0.2") as allowed:
        flips = Outbound(Rules(frozenset({allowed.port}), only, plain=True), resolve=flipping)
        url = f"http://rebound.example:{allowed.port}/hook"
        assert flips.post(url, {}, b"{}") == 204
        assert asked == ["rebound.example"]
        assert allowed.told[0].headers["host"] == f"rebound.example:{allowed.port}"
        assert fault(flips, url) is Fault.FORBIDDEN
    assert len(allowed.told) == 1


def test_the_second_address_is_tried_where_nobody_is_at_the_first() -> None:
    with receiving() as receiver:
        both = Outbound(rules(receiver), resolve=lambda *_: ["127.0.0.9", "127.0.0.1"])
        assert both.post(f"http://two.example:{receiver.port}/", {}, b"{}") == 204


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def server_side(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


def client_side(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def test_tls_is_with_the_name_and_goes_to_the_address(authority: trustme.CA) -> None:
    context = server_side(authority, "hooks.example")
    names: list[str | None] = []
    context.sni_callback = lambda _socket, name, _context: names.append(name)
    with receiving(context) as receiver:
        outbound = Outbound(
            rules(receiver, plain=False),
            resolve=lambda *_: ["127.0.0.1"],
            tls=client_side(authority),
        )
        assert outbound.post(f"https://hooks.example:{receiver.port}/", {}, b"{}") == 204
        assert names == ["hooks.example"]
        assert receiver.told[0].headers["host"] == f"hooks.example:{receiver.port}"
        assert fault(outbound, f"https://other.example:{receiver.port}/") is Fault.TLS
        stranger = Outbound(rules(receiver), resolve=lambda *_: ["127.0.0.1"])
        assert fault(stranger, f"https://hooks.example:{receiver.port}/") is Fault.TLS
    assert len(receiver.told) == 1


def test_plain_http_needs_to_be_allowed() -> None:
    with receiving() as receiver:
        assert fault(Outbound(rules(receiver, plain=False)), receiver.url) is Fault.FORBIDDEN
    assert receiver.told == []
