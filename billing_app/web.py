"""What HTTP and the websocket have in common: the session cookie, and whose pages are asking."""

from __future__ import annotations

import ipaddress
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from billing_app.runtime import current

SESSION_COOKIE = "tallybook_session"
# Readable by the pages: tells them that another sign-in began, and nothing else.
EPOCH_COOKIE = "tallybook_epoch"


def cookie_value(cookie_header: str, name: str) -> str:
    """One cookie out of a Cookie header, empty when it is not there."""
    try:
        morsel = SimpleCookie(cookie_header).get(name)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def session_token(cookie_header: str) -> str:
    """The session's token out of a Cookie header, empty when there is none."""
    return cookie_value(cookie_header, SESSION_COOKIE)


def is_own_origin(connection: HTTPConnection) -> bool:
    """Whether the `Origin` header names this server: the public address, or the host asked for.

    A request without the header is not ours: a browser sends it with every unsafe request and
    with every websocket handshake.
    """
    origin = connection.headers.get("origin", "")
    if not origin or origin == "null":
        return False
    public = current().settings.public_url
    if public and origin == "{0.scheme}://{0.netloc}".format(urlsplit(public)):
        return True
    return urlsplit(origin).netloc == connection.headers.get("host")


def is_https(connection: HTTPConnection) -> bool:
    """Whether people reach this server over https, here or at the proxy before it."""
    public = current().settings.public_url
    return connection.url.scheme in ("https", "wss") or bool(public and public.startswith("https:"))


def client_address(connection: HTTPConnection) -> str:
    """Where the request comes from: the peer, or whom the proxy before this server says it is.

    Only a proxy on this machine is believed, where a public address says that there is one, and
    only what it added itself, the last entry: those before it are the caller's to invent.
    """
    peer = connection.client.host if connection.client else ""
    forwarded = ",".join(connection.headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
    if forwarded and current().settings.public_url and _is_loopback(peer) and _is_address(forwarded):
        return forwarded
    return peer


def _is_loopback(address: str) -> bool:
    return _is_address(address) and ipaddress.ip_address(address).is_loopback


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
