"""The middleware of a server, in the order that a request meets it.

Requests            the request's id, its place in the metrics, and its line in the log
SafeHeaders         security headers on every answer
SingleEvents        single usage events, which need none of the following
HeadAsGet           HEAD for everything that answers GET
ClientLimits        malformed requests, and clients that do not read
API or pages        by the path
    API:    BodyLimits    the type, size and speed of a body
            UnexpectedErrors  logged, and answered with a problem document (added by the API itself)
    pages:  SocketGuard   who may open the websocket
            PageFiles     the files of the pages
"""

from __future__ import annotations

from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from billing_app.server.middleware.head_requests import HeadAsGet
from billing_app.server.middleware.headers import SafeHeaders
from billing_app.server.middleware.limits import BodyLimits, ClientLimits
from billing_app.server.middleware.requests import Requests
from billing_app.server.middleware.single_events import SingleEvents
from billing_app.server.middleware.socket_guard import SocketGuard


def wrap_server(app: ASGIApp, build: Path) -> ASGIApp:
    """Wrap the whole application, whose built pages are in `build`."""
    return Requests(SafeHeaders(SingleEvents(HeadAsGet(ClientLimits(app))), build))


def wrap_pages(pages: ASGIApp, routes: frozenset[str]) -> ASGIApp:
    """Wrap the pages and their websocket; `routes` are the pages without parameters."""
    # It loads a part of Reflex, which a server without pages does without.
    from billing_app.server.middleware.page_files import PageFiles

    return SocketGuard(PageFiles(pages, routes))


class ApiBeforePages:
    """Sends all of /api to the API and everything else to the pages.

    This is not a mount: below one, an unknown path of the API would fall through to the pages, and a
    catch-all route would turn the API's 405s into 404s.
    """

    def __init__(self, api: ASGIApp, pages: ASGIApp) -> None:
        self.api = BodyLimits(api)
        self.pages = pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path = scope.get("path", "")
        is_api = scope["type"] == "http" and (path == "/api" or path.startswith("/api/"))
        await (self.api if is_api else self.pages)(scope, receive, send)
