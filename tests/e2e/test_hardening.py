"""Hardening: pages run no foreign scripts, and malformed requests on raw sockets are rejected."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import BrowserContext, Page, expect
from simple_websocket import ConnectionClosed

from billing_app.server.middleware.limits import BODY_BYTES_MAX, HEAD_BYTES_MAX
from tests.e2e.business import ACME_OCTOBER, ADMIN, PASSWORD
from tests.e2e.conftest import Site
from tests.e2e.socket_client import Socket

ANSWER_SECONDS_MAX = 30
EVIL = {"Origin": "https://evil.test"}
INTERNAL = (b"Traceback", b'File "', b"site-packages", b"starlette", b"psycopg", b"hyper")
BODY = json.dumps({"email": ADMIN, "password": "wrong"}).encode()
TOKEN = b"POST /api/v1/auth/token HTTP/1.1\r\n"
HOST = b"Host: localhost\r\n"
JSON = HOST + b"Content-Type: application/json\r\n"
CLOSE = b"Connection: close\r\n"
HALF = TOKEN + JSON + b"Content-Length: 99\r\n\r\n" + BODY[:9]

# Looks like an attack, and would be noticed if it appeared in a page.
LISTEN = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sample}`));
"""


def connect(site: Site) -> socket.socket:
    address = urlsplit(site.url)
    assert address.port
    return socket.create_connection(("127.0.0.1", address.port), timeout=ANSWER_SECONDS_MAX)


def answer_of(connection: socket.socket) -> bytes:
    """Return everything that is received until the server closes the connection."""
    heard = b""
    try:
        while more := connection.recv(65536):
            heard += more
    except ConnectionResetError:
        pass
    connection.close()
    return heard


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.fixture
def still_well(site: Site) -> Iterator[None]:
    """Fail if the server does not respond normally after the test."""
    yield
    assert httpx.get(f"{site.url}/api/health").status_code == 200


MALFORMED = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00" + bytes(50),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0",
    "unknown version": b"GET / HTTP/3.0\r\n" + HOST + b"\r\n",
    "not a path": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "a proxy's": b"CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n",
    "a raw byte in the path": b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
    "a null in a header": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\0b\r\n\r\n",
    "a space in a header's name": b"GET / HTTP/1.1\r\n" + HOST + b"X : a\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\n" + HOST + b"Host: evil.test\r\n\r\n",
    "no such host": b"GET /login/ HTTP/1.1\r\nHost: [\r\n\r\n",
    "markup for a host": b'GET /login/ HTTP/1.1\r\nHost: a"><script>\r\n\r\n',
    "no such origin": TOKEN + JSON + b"Origin: https://[\r\nContent-Length: 0\r\n\r\n",
    "many headers": b"GET / HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 101 + b"\r\n",
    "long headers": b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * HEAD_BYTES_MAX + b"\r\n\r\n",
    "endless headers": b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 1_000_000,
    "a long path": b"GET /" + b"a" * HEAD_BYTES_MAX + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "a length in words": TOKEN + JSON + b"Content-Length: many\r\n\r\n",
    "a length below zero": TOKEN + JSON + b"Content-Length: -1\r\n\r\n",
    "a length beyond reason": TOKEN + JSON + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "two lengths": TOKEN + JSON + b"Content-Length: 2\r\nContent-Length: 9\r\n\r\n{}",
    "an unknown encoding": TOKEN + JSON + b"Transfer-Encoding: gzip\r\n\r\n{}",
    "no chunk": TOKEN + JSON + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}",
}


@pytest.mark.parametrize("request_", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_request_is_rejected_and_the_connection_closed(
    site: Site, still_well: None, request_: bytes
) -> None:
    connection = connect(site)
    connection.sendall(request_)
    answer = answer_of(connection)
    assert not answer or 400 <= status_of(answer) < 500
    assert [word for word in INTERNAL if word in answer] == []


ODD = {
    "a null in the path": (b"GET /%00 HTTP/1.1\r\n" + HOST, b"", 404),
    "a null in the API's path": (b"GET /api/v1/customers/%00 HTTP/1.1\r\n" + HOST, b"", 401),
    "bytes that are no text": (b"GET /%ff HTTP/1.1\r\n" + HOST, b"", 404),
    "overlong text": (b"GET /%c0%ae%c0%ae/%c0%af HTTP/1.1\r\n" + HOST, b"", 404),
    "no percent encoding": (b"GET /%zz HTTP/1.1\r\n" + HOST, b"", 404),
    "the directory above": (b"GET /../../routes.json HTTP/1.1\r\n" + HOST, b"", 404),
    "encoded": (b"GET /..%2f..%2froutes.json HTTP/1.1\r\n" + HOST, b"", 404),
    "a deep path": (b"GET " + b"/a" * 10_000 + b" HTTP/1.1\r\n" + HOST, b"", 404),
    "another host's address": (b"GET http://evil.test/login/ HTTP/1.1\r\n" + HOST, b"", 308),
    "an unknown method": (b"FOO /login HTTP/1.1\r\n" + HOST, b"", 405),
    "a trace": (b"TRACE /api/health HTTP/1.1\r\n" + HOST, b"", 405),
    "a GET with a body": (b"GET /api/health HTTP/1.1\r\n" + HOST, BODY, 200),
    "a DELETE with a body": (b"DELETE /api/v1/auth/session HTTP/1.1\r\n" + JSON, BODY, 401),
    "a body for a page": (b"POST /login HTTP/1.1\r\n" + HOST, BODY, 405),
    "a body for the websocket": (b"POST /_event/?EIO=4&transport=polling HTTP/1.1\r\n" + HOST, BODY, 405),
    "another charset": (
        TOKEN + HOST + b"Content-Type: application/json; charset=utf-16\r\n",
        BODY.decode().encode("utf-16"),
        422,
    ),
    "a deep body": (TOKEN + JSON, b"[" * 200_000, 422),
    "no ranges": (b"GET /js/session.js HTTP/1.1\r\n" + HOST + b"Range: bytes=z\r\n", b"", 400),
    "a cookie of bytes": (b"GET /api/v1/auth/me HTTP/1.1\r\n" + HOST + b"Cookie: a=\xff\r\n", b"", 401),
    "no websocket": (
        b"GET /_event/ HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + HOST,
        b"",
        400,
    ),
}


@pytest.mark.parametrize(("head", "body", "status"), ODD.values(), ids=ODD.keys())
def test_unusual_request_gets_a_regular_response(
    site: Site, still_well: None, head: bytes, body: bytes, status: int
) -> None:
    connection = connect(site)
    length = b"Content-Length: %d\r\n" % len(body) if body else b""
    connection.sendall(head + length + CLOSE + b"\r\n" + body)
    answer = answer_of(connection)
    assert status_of(answer) == status
    assert b"evil.test" not in answer
    assert [word for word in INTERNAL if word in answer] == []


def test_slow_or_stalled_client_is_disconnected(site: Site, still_well: None) -> None:
    chunked = TOKEN + JSON + b"Transfer-Encoding: chunked\r\n\r\n5\r\n" + BODY[:5] + b"\r\n"
    slow = {HALF: 408, chunked: 408, TOKEN + HOST: None, b"": None, b"GET / HTTP/1.1\r\nHo": None}
    connections = {request: connect(site) for request in slow}
    for request, connection in connections.items():
        connection.sendall(request)
    for request, status in slow.items():
        answer = answer_of(connections[request])
        if status is None:
            assert answer == b""
        else:
            assert status_of(answer) == status
            assert b"application/problem+json" in answer
            assert b'"request_timeout"' in answer


def test_body_shorter_than_its_length_is_not_processed(site: Site, still_well: None) -> None:
    connection = connect(site)
    connection.sendall(HALF)
    connection.shutdown(socket.SHUT_WR)
    assert status_of(answer_of(connection)) == 400


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "in chunks"])
def test_body_of_17_mib_is_too_large(site: Site, still_well: None, chunked: bool) -> None:
    pieces = [bytes(64 * 1024)] * (17 * 16)
    assert sum(map(len, pieces)) > BODY_BYTES_MAX
    connection = http.client.HTTPConnection(urlsplit(site.url).netloc, timeout=ANSWER_SECONDS_MAX)
    connection.request(
        "POST",
        "/api/v1/auth/token",
        iter(pieces) if chunked else b"".join(pieces),
        {"Content-Type": "application/json"},
        encode_chunked=chunked,
    )
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["code"]) == (413, "too_large")
    connection.close()


def test_content_length_over_the_limit_is_rejected_before_the_body(site: Site, still_well: None) -> None:
    connection = connect(site)
    connection.sendall(TOKEN + JSON + b"Content-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1))
    assert status_of(connection.recv(65536)) == 413
    connection.close()


def test_websocket_message_over_the_limit_closes_the_websocket(site: Site, still_well: None) -> None:
    sent = Socket(site.url)
    sent.send("x" * 1_100_000, {})
    with pytest.raises(ConnectionClosed):
        sent.heard()


SERVED = (
    "/login",
    "/nothing",
    "/js/session.js",
    "/api/health",
    "/api/docs",
    "/api/nothing",
    "/api/v1/auth/me",
)


@pytest.mark.parametrize("path", SERVED)
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST"])
def test_every_response_has_security_headers_and_allows_no_other_origin(
    site: Site, path: str, method: str
) -> None:
    asks = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}
    answer = httpx.request(method, site.url + path, headers={**EVIL, **asks})
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "same-origin"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "camera=()" in answer.headers["permissions-policy"]
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "granian" not in answer.headers["server"]
    assert "strict-transport-security" not in answer.headers
    if path.startswith("/api"):
        assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "path", ["/ping", "/_health", "/_upload", "/_upload/x", "/_all_routes", "/auth-codespace", "/_event/"]
)
def test_reflex_endpoints_are_closed(site: Site, path: str) -> None:
    assert httpx.get(site.url + path).status_code == 404
    assert httpx.post(site.url + path, files={"files": b"x"}).status_code == 405


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_violates_its_content_security_policy(
    context: BrowserContext, page: Page, scheme: str
) -> None:
    context.add_init_script(LISTEN)
    page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    sockets: list[str] = []
    page.on("websocket", lambda each: sockets.append(each.url))

    def shows(heading: str, path: str) -> None:
        # The second time it is unchanged, so the response has no body.
        for _ in range(2):
            page.goto(path)
            expect(page.get_by_role("heading", level=1)).to_contain_text(heading)
            assert page.evaluate("window.violations") == []

    page.goto("/customers")
    page.wait_for_url("**/login**")
    page.get_by_label("Email").fill(ADMIN)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Acme Industrial Supply")).to_be_visible()
    shows("Dashboard", "/")
    shows("Verification", "/verify")
    shows("Audit log", "/audit")
    shows("Customers", "/customers")
    shows("Acme Industrial Supply", "/customers/acme")
    shows(ACME_OCTOBER, f"/invoices/{ACME_OCTOBER}")
    assert sockets
    assert errors == []
    shows("Tallybook API", "/api/docs")
    assert errors == []
    page.goto("/nothing")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.evaluate("window.violations") == []


def test_page_runs_only_its_own_scripts(context: BrowserContext, signed_in: Page) -> None:
    signed_in.evaluate(LISTEN)
    signed_in.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.injected = true";
          document.body.append(script);
          document.body.insertAdjacentHTML("beforeend", "<img src=/none onerror='window.injected = true'>");
          const foreign = document.createElement("script");
          foreign.src = "https://evil.test/x.js";
          document.body.append(foreign);
          // Not at once: what runs for the test itself may do more.
          setTimeout(() => { try { window.injected = eval("true"); } catch {} });
        }"""
    )
    signed_in.wait_for_function("window.violations.length >= 4")
    assert signed_in.evaluate("window.injected") is None
