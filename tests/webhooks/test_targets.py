"""Whatever somebody writes as a URL, it leads nowhere but to the public internet."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_network

import pytest

from millrace.outbound.targets import (
    Forbidden,
    Rules,
    TargetForbidden,
    addresses_of,
    resolved,
    target_of,
)

PUBLIC = Rules()
ANY_PORT = Rules(frozenset(range(1, 65_536)), plain=True)


def refused(url: str, rules: Rules, *answers: str) -> Forbidden:
    """Why a URL is refused whose host has these addresses, or those of this machine's resolver."""

    def told(host: str, port: int) -> Sequence[str]:
        return answers or resolved(host, port)

    with pytest.raises(TargetForbidden) as refusal:
        addresses_of(target_of(url, rules), rules, told)
    return refusal.value.reason


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.com/", Forbidden.SCHEME),
        ("ftp://example.com/", Forbidden.SCHEME),
        ("file:///etc/passwd", Forbidden.SCHEME),
        ("gopher://example.com/", Forbidden.SCHEME),
        ("example.com/hook", Forbidden.SCHEME),
        ("", Forbidden.CHARACTERS),
        ("https://user:pw@example.com/", Forbidden.CREDENTIALS),
        ("https://example.com@10.0.0.1/", Forbidden.CREDENTIALS),
        ("https://example.com:22/", Forbidden.PORT),
        ("https://example.com:80/", Forbidden.PORT),
        ("https://example.com:0/", Forbidden.PORT),
        ("https://example.com:99999/", Forbidden.HOST),
        ("https://example.com:port/", Forbidden.HOST),
        ("https:///nothing", Forbidden.HOST),
        ("https://[::1/", Forbidden.HOST),
        ("https://[v1.x]/", Forbidden.HOST),
        ("https://-/", Forbidden.HOST),
        ("https://example.com/#there", Forbidden.FRAGMENT),
        ("https://example.com/#", Forbidden.FRAGMENT),
        ("https://example.com\\@10.0.0.1/", Forbidden.CHARACTERS),
        ("https://exa mple.com/", Forbidden.CHARACTERS),
        ("https://example.com/\r\nX-Evil: 1", Forbidden.CHARACTERS),
        ("https://exämple.com/", Forbidden.CHARACTERS),
        ("https://example。com/", Forbidden.CHARACTERS),
        ("https://example.com/" + "x" * 3_000, Forbidden.LENGTH),
    ],
)
def test_the_text_alone_may_be_enough(url: str, reason: Forbidden) -> None:
    assert refused(url, PUBLIC, "93.184.216.34") is reason


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.0.0.1",
        "127.1",
        "0.0.0.0",
        "0",
        "10.0.0.1",
        "172.16.3.4",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "239.255.255.250",
        "255.255.255.255",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "[::]",
        "[::1]",
        "[::ffff:10.0.0.1]",
        "[::ffff:169.254.169.254]",
        "[::127.0.0.1]",
        "[64:ff9b::10.0.0.1]",
        "[64:ff9b:1::1]",
        "[2002:0a00:0001::1]",
        "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
        "[fe80::1]",
        "[fe80::1%25lo]",
        "[fec0::1]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[ff02::1]",
        "[2001:db8::1]",
    ],
)
def test_an_address_that_is_not_public(host: str) -> None:
    assert refused(f"http://{host}:8080/", ANY_PORT) in (Forbidden.ADDRESS, Forbidden.HOST)


def test_a_name_is_worth_what_all_its_addresses_are() -> None:
    url = "https://rebound.example/"
    assert refused(url, PUBLIC, "10.0.0.1") is Forbidden.ADDRESS
    assert refused(url, PUBLIC, "93.184.216.34", "127.0.0.1") is Forbidden.ADDRESS
    assert refused(url, PUBLIC, "93.184.216.34", "::ffff:127.0.0.1") is Forbidden.ADDRESS
    assert refused(url, PUBLIC, "no address") is Forbidden.ADDRESS
    public = ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"]
    assert addresses_of(target_of(url, PUBLIC), PUBLIC, lambda *_: public) == public


def test_a_name_that_is_none_looks_like_one_that_is_private() -> None:
    def nobody(host: str, port: int) -> Sequence[str]:
        raise OSError("no such name")

    with pytest.raises(TargetForbidden) as refusal:
        addresses_of(target_of("https://nowhere.example/", PUBLIC), PUBLIC, nobody)
    assert refusal.value.reason is Forbidden.ADDRESS


def test_an_operator_may_allow_a_network_and_no_more() -> None:
    inside = Rules(networks=(ip_network("10.1.0.0/16"), ip_network("fd00::/64")))
    target = target_of("https://hooks.internal/", inside)
    assert addresses_of(target, inside, lambda *_: ["10.1.2.3", "fd00::7"])
    assert addresses_of(target, inside, lambda *_: ["::ffff:10.1.2.3"])
    assert refused("https://hooks.internal/", inside, "10.2.0.1") is Forbidden.ADDRESS
    assert refused("https://hooks.internal/", inside, "10.1.2.3", "::1") is Forbidden.ADDRESS


def test_what_is_sent_is_what_was_looked_at() -> None:
    target = target_of("https://Hooks.Example:443?x=1", PUBLIC)
    assert (target.host, target.port, target.path) == ("hooks.example", 443, "/?x=1")
    assert target.authority == "hooks.example"
    assert target_of("http://[::1]:8080/a", ANY_PORT).authority == "[::1]:8080"
