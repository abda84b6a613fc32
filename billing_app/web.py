"""What HTTP and the websocket have in common: cookies, the origin of a request, and the client's address.

Behind proxies (BILLING_PROXIES), the client's address and scheme come from the proxies' headers. The host
always comes from BILLING_PUBLIC_URL if it is set.
"""

from __future__ import annotations

import logging
from http.cookies import CookieError, SimpleCookie
from itertools import takewhile
from typing import NamedTuple

from starlette.requests import HTTPConnection

from billing_app.network import IPAddress, Origin, parse_address, parse_origin
from billing_app.runtime import current

logger = logging.getLogger(__name__)

SESSION_COOKIE = "tallybook_session"
# Readable by scripts. It only signals that another sign-in happened.
EPOCH_COOKIE = "tallybook_epoch"
# Identifies a browser that a user has signed in with. It is only sent to the authentication endpoints.
BROWSER_COOKIE = "tallybook_browser"


def cookie_value(cookie_header: str, name: str) -> str:
    """Return the value of one cookie of a Cookie header, or an empty string."""
    try:
        morsel = SimpleCookie(cookie_header).get(name)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


def session_token(cookie_header: str) -> str:
    """Return the session's token of a Cookie header, or an empty string."""
    return cookie_value(cookie_header, SESSION_COOKIE)


def is_own_origin(connection: HTTPConnection) -> bool:
    """Return whether the `Origin` header is that of our own pages. Log it if it is not.

    Our origin is BILLING_PUBLIC_URL if it is set. Otherwise it is the host that the request was sent to, with
    https if the request came over https. A request without the header is rejected, because browsers send it
    with every unsafe request and every websocket handshake.
    """
    header = connection.headers.get("origin", "")
    expected = _expected_origins(connection)
    if _origin(header) in expected:
        return True
    if header and current().origin_refusals.allows():
        logger.warning(
            "refused a request from the origin %.200r, expected %s; check BILLING_PUBLIC_URL",
            header,
            " or ".join(map(str, expected)),
        )
    return False


def _expected_origins(connection: HTTPConnection) -> list[Origin]:
    public_url = current().settings.public_url
    if public_url:
        return [parse_origin(public_url)]
    # A proxy that is not configured may use https with the browser and http with us.
    schemes = ["https"] if _scheme(connection) == "https" else ["http", "https"]
    found = (_origin(f"{scheme}://{connection.headers.get('host', '')}") for scheme in schemes)
    return [origin for origin in found if origin]


def _origin(text: str) -> Origin | None:
    try:
        return parse_origin(text)
    except ValueError:
        return None


def is_https(connection: HTTPConnection) -> bool:
    """Return whether the browser reaches this server over https, directly or through a proxy."""
    public_url = current().settings.public_url
    return bool(public_url and public_url.startswith("https:")) or _scheme(connection) == "https"


def _scheme(connection: HTTPConnection) -> str:
    if current().settings.trusted_proxies:
        scheme = _client(connection).scheme
    else:
        scheme = connection.scope.get("scheme", "http")
    return "https" if scheme in ("https", "wss") else "http"


def client_address(connection: HTTPConnection) -> str:
    """Return the network address of the client: the peer's, or the one that a trusted proxy reports."""
    return _client(connection).address


class _Client(NamedTuple):
    address: str
    scheme: str


def _client(connection: HTTPConnection) -> _Client:
    """Return the client: the rightmost address in X-Forwarded-For that is not one of our proxies.

    Every proxy appends the address of its own client, so everything further left was sent by the client and
    can't be trusted. The scheme is the one that the outermost proxy reports in X-Forwarded-Proto. Headers
    from anyone but our proxies are ignored.
    """
    peer = connection.client.host if connection.client else ""
    peer_ip = parse_address(peer)
    scheme = connection.scope.get("scheme", "http")
    if peer_ip is None or not _is_proxy(peer_ip):
        return _Client(peer if peer_ip is None else str(peer_ip), scheme)
    entries = [parse_address(entry) for entry in reversed(_entries(connection, "x-forwarded-for"))]
    # Entries to the left of a malformed one can't be trusted.
    known = list(takewhile(lambda ip: ip is not None, entries))
    proxies = list(takewhile(_is_proxy, known))
    # If all of them are proxies, the outermost one made the request itself.
    hops = known[: len(proxies) + 1]
    schemes = _entries(connection, "x-forwarded-proto")
    if schemes:
        # The header has one entry per hop, or a single entry that all proxies passed on.
        scheme = schemes[-min(max(len(hops), 1), len(schemes))].lower()
    return _Client(str(hops[-1] if hops else peer_ip), scheme)


def _entries(connection: HTTPConnection, header: str) -> list[str]:
    joined = ",".join(connection.headers.getlist(header))
    return [entry.strip() for entry in joined.split(",")] if joined else []


def _is_proxy(ip: IPAddress | None) -> bool:
    return ip is not None and any(ip in network for network in current().settings.trusted_proxies)
