"""BILLING_PUBLIC_URL and BILLING_PROXIES, and their effect on requests."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import ValidationError
from starlette.requests import HTTPConnection

from billing_app.database.session import Database
from billing_app.network import parse_address, parse_network
from billing_app.runtime import Throttle, current
from billing_app.settings import Settings
from billing_app.web import client_address, is_https, is_own_origin
from tests.runtimes import installed

PUBLIC = "https://billing.example"


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("https://billing.example", PUBLIC),
        ("HTTPS://Billing.Example", PUBLIC),
        ("https://billing.example:443", PUBLIC),
        ("https://billing.example/", PUBLIC),
        ("  https://billing.example/ \n", PUBLIC),
        ("https://BILLING.example:443/", PUBLIC),
        ("https://billing.example.", PUBLIC),
        ("https://billing.example:8443", "https://billing.example:8443"),
        ("http://billing.example:80/", "http://billing.example"),
        ("http://billing.example:443", "http://billing.example:443"),
        ("https://m\u00fcnchen.example", "https://xn--mnchen-3ya.example"),
        ("https://M\u00dcNCHEN.example", "https://xn--mnchen-3ya.example"),
        ("http://192.0.2.7:3000", "http://192.0.2.7:3000"),
        ("https://[2001:DB8:0::1]:443", "https://[2001:db8::1]"),
        ("", None),
        ("   ", None),
    ],
)
def test_public_url_is_put_in_normal_form(written: str, normal: str | None) -> None:
    assert Settings(public_url=written).public_url == normal


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ("billing.example", "has no scheme"),
        ("billing.example:443", "has no scheme"),
        ("//billing.example", "has no scheme"),
        ("ftp://billing.example", "has the scheme 'ftp'"),
        ("https://", "has no host"),
        ("https://billing.example/app", "must not have a path"),
        ("https://ada:secret@billing.example", "must not contain a user name or password"),
        ("https://billing.example?a=b", "must not have a query or fragment"),
        ("https://billing.example/#", "must not have a query or fragment"),
        ("https://billing.example:99999", "is not a web address"),
        ("https://billing.example:0", "has the port 0"),
        ("https://billing.example:port", "is not a web address"),
        ("https://bill ing.example", "has a host name that is not valid"),
        ("https://billing..example", "has a host name that is not valid"),
        ("https://[2001:db8::1", "is not a web address"),
        ("https://*.example", "has a host name that is not valid"),
    ],
)
def test_invalid_public_url_is_rejected_by_name(written: str, fault: str) -> None:
    with pytest.raises(ValidationError, match=f"BILLING_PUBLIC_URL {fault}") as refused:
        Settings(public_url=written)
    assert "secret" not in str(refused.value.errors()[0]["msg"])


@pytest.mark.parametrize(
    ("written", "networks"),
    [
        ("10.0.0.7", ["10.0.0.7/32"]),
        ("10.0.0.7, 192.0.2.0/24", ["10.0.0.7/32", "192.0.2.0/24"]),
        ("10.0.0.7 fd00::/8", ["10.0.0.7/32", "fd00::/8"]),
        ("10.1.2.3/8", ["10.0.0.0/8"]),
        ("::ffff:10.0.0.7", ["10.0.0.7/32"]),
        ("::ffff:10.0.0.0/104", ["10.0.0.0/8"]),
        ("", []),
    ],
)
def test_proxies_are_addresses_or_networks(
    written: str, networks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BILLING_PROXIES", written)
    assert [str(each) for each in Settings(public_url=PUBLIC).trusted_proxies] == networks


@pytest.mark.parametrize("written", ["proxy", "10.0.0.0/33", "10.0.0.7:80", "10.0.0", "10.0.0.7;10.0.0.8"])
def test_invalid_proxy_is_rejected_by_name(written: str) -> None:
    with pytest.raises(ValidationError, match="BILLING_PROXIES contains"):
        Settings(proxies=written)


def test_proxy_on_this_machine_is_trusted_by_default_behind_a_public_url() -> None:
    assert Settings().trusted_proxies == ()
    assert [str(each) for each in Settings(public_url=PUBLIC).trusted_proxies] == ["127.0.0.0/8", "::1/128"]


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1", "192.0.2.1"),
        (" 192.0.2.1 ", "192.0.2.1"),
        ("192.0.2.1:5000", "192.0.2.1"),
        ("[2001:db8::1]:5000", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("unknown", "None"),
        ("_hidden", "None"),
        ("", "None"),
        ("192.0.2.999", "None"),
    ],
)
def test_address_is_understood_in_every_spelling(text: str, address: str) -> None:
    assert str(parse_address(text)) == address


def test_network_of_an_address_contains_it_in_every_spelling() -> None:
    for network in ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.0/24", "::ffff:192.0.2.0/120"):
        for address in ("192.0.2.1", "::ffff:192.0.2.1"):
            assert parse_address(address) in parse_network(network)


@contextmanager
def process(**settings: object) -> Iterator[None]:
    """Install a runtime with these settings and a database that is not used."""
    database = Database("postgresql+psycopg://")
    with installed(database, **settings):
        yield
    database.close()


def request(peer: str = "192.0.2.1", scheme: str = "http", **headers: str) -> HTTPConnection:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return HTTPConnection(
        {
            "type": "websocket" if scheme in ("ws", "wss") else "http",
            "scheme": scheme,
            "path": "/",
            "query_string": b"",
            "server": ("127.0.0.1", 3000),
            "client": (peer, 50000),
            "headers": sent,
        }
    )


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        # One proxy.
        ("10.0.0.7", "203.0.113.9", "203.0.113.9"),
        ("::ffff:10.0.0.7", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.7", "::ffff:203.0.113.9", "203.0.113.9"),
        ("10.0.0.7", "203.0.113.9:4711", "203.0.113.9"),
        ("10.0.0.7", "[2001:db8::9]:4711", "2001:db8::9"),
        # The entry that the client sent precedes the one that the proxy added.
        ("10.0.0.7", "198.51.100.1, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.7", "garbage, 203.0.113.9", "203.0.113.9"),
        # Several proxies.
        ("10.0.0.7", "203.0.113.9, 10.0.0.8", "203.0.113.9"),
        ("10.0.0.7", "203.0.113.9, ::ffff:10.0.0.8, 10.1.2.3", "203.0.113.9"),
        ("10.0.0.7", "198.51.100.1, 203.0.113.9, 10.0.0.8", "203.0.113.9"),
        ("10.0.0.7", "10.0.0.9, 203.0.113.9, 10.0.0.8", "203.0.113.9"),
        # Only proxies: the outermost one made the request itself.
        ("10.0.0.7", "10.0.0.9, 10.0.0.8", "10.0.0.9"),
        # Not an address: nothing before it can be trusted.
        ("10.0.0.7", "203.0.113.9, unknown", "10.0.0.7"),
        ("10.0.0.7", "203.0.113.9, unknown, 10.0.0.8", "10.0.0.8"),
        ("10.0.0.7", "", "10.0.0.7"),
        # Not a proxy of ours.
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
        ("127.0.0.1", "203.0.113.9", "127.0.0.1"),
        ("testclient", "203.0.113.9", "testclient"),
    ],
)
def test_client_is_the_rightmost_address_that_is_not_a_proxy(peer: str, forwarded: str, client: str) -> None:
    with process(public_url=PUBLIC, proxies="10.0.0.0/8"):
        assert client_address(request(peer, x_forwarded_for=forwarded)) == client


def test_headers_are_ignored_without_proxies() -> None:
    headers = {"x_forwarded_for": "203.0.113.9", "x_forwarded_proto": "https"}
    with process():
        assert client_address(request("127.0.0.1", **headers)) == "127.0.0.1"
        assert not is_https(request("127.0.0.1", **headers))
    with process(public_url="http://billing.example", proxies=""):
        assert client_address(request("127.0.0.1", **headers)) == "127.0.0.1"


@pytest.mark.parametrize(
    ("peer", "forwarded", "protocol", "secure"),
    [
        ("10.0.0.7", "203.0.113.9", "https", True),
        ("10.0.0.7", "203.0.113.9", "HTTPS", True),
        ("10.0.0.7", "203.0.113.9", "wss", True),
        ("10.0.0.7", "203.0.113.9", "http", False),
        ("10.0.0.7", "203.0.113.9", "", False),
        ("10.0.0.7", "203.0.113.9, 10.0.0.8", "https", True),
        # With one entry per hop, the first proxy's counts, and the one that the client sent does not.
        ("10.0.0.7", "203.0.113.9, 10.0.0.8", "https, http", True),
        ("10.0.0.7", "203.0.113.9, 10.0.0.8", "https, http, http", False),
        ("10.0.0.7", "203.0.113.9", "https, http", False),
        ("10.0.0.7", "", "https", True),
        ("192.0.2.1", "203.0.113.9", "https", False),
    ],
)
def test_scheme_is_what_the_clients_proxy_says(
    peer: str, forwarded: str, protocol: str, secure: bool
) -> None:
    with process(proxies="10.0.0.0/8"):
        asked = request(peer, x_forwarded_for=forwarded, x_forwarded_proto=protocol)
        assert is_https(asked) is secure


@pytest.mark.parametrize("scheme", ["http", "ws"])
@pytest.mark.parametrize(
    ("origin", "is_ours"),
    [
        (PUBLIC, True),
        ("https://billing.example:443", True),
        ("HTTPS://Billing.EXAMPLE", True),
        ("http://billing.example", False),
        ("http://billing.example:443", False),
        ("https://billing.example:8443", False),
        ("https://evil.example", False),
        ("https://billing.example.evil.example", False),
        ("https://evil.example@billing.example", False),
        ("http://localhost:3000", False),
        ("null", False),
        ("", False),
        ("billing.example", False),
    ],
)
def test_only_pages_of_the_https_public_address_are_ours(scheme: str, origin: str, is_ours: bool) -> None:
    for host in ("billing.example", "localhost:3000"):
        with process(public_url="https://Billing.Example:443/"):
            assert is_own_origin(request(scheme=scheme, host=host, origin=origin)) is is_ours


@pytest.mark.parametrize(
    ("host", "origin", "is_ours"),
    [
        ("localhost:3000", "http://localhost:3000", True),
        ("LOCALHOST:3000", "http://localhost:3000", True),
        ("billing.example", "http://billing.example:80", True),
        # A proxy that is not configured.
        ("billing.example", "https://billing.example", True),
        ("billing.example:443", "https://billing.example", True),
        ("localhost:3000", "http://localhost:3001", False),
        ("localhost:3000", "http://127.0.0.1:3000", False),
        ("", "http://localhost:3000", False),
    ],
)
def test_without_a_public_address_pages_of_the_same_host_are_ours(
    host: str, origin: str, is_ours: bool
) -> None:
    with process():
        for scheme in ("http", "ws"):
            assert is_own_origin(request(scheme=scheme, host=host, origin=origin)) is is_ours


def test_http_page_is_not_ours_when_the_request_came_over_https() -> None:
    with process(proxies="10.0.0.7"):
        for origin, is_ours in (("https://billing.example", True), ("http://billing.example", False)):
            asked = request("10.0.0.7", host="billing.example", origin=origin, x_forwarded_proto="https")
            assert is_own_origin(asked) is is_ours
    with process():
        asked = request(scheme="wss", host="billing.example", origin="http://billing.example")
        assert not is_own_origin(asked)


def test_refused_origin_is_logged_once_with_the_expected_one(caplog: pytest.LogCaptureFixture) -> None:
    with process(public_url=PUBLIC), caplog.at_level(logging.WARNING, "billing_app.web"):
        assert is_own_origin(request(origin=PUBLIC))
        assert not is_own_origin(request())
        assert caplog.messages == []
        for _ in range(3):
            assert not is_own_origin(request(origin="http://billing.example\n" + "x" * 1000))
        assert len(caplog.messages) == 1
        assert f"expected {PUBLIC}" in caplog.messages[0]
        assert "'http://billing.example\\n" in caplog.messages[0]
        assert len(caplog.messages[0]) < 400
        current().origin_refusals = Throttle(0)
        assert not is_own_origin(request(origin="http://billing.example"))
        assert len(caplog.messages) == 2
