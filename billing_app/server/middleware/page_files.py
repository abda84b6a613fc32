"""Serve the files of the built pages, with one address per page and caching headers."""

from __future__ import annotations

from reflex_base.constants import Endpoint
from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Vite names these after their content.
_NEVER_CHANGES = "public, max-age=31536000, immutable"
_REVALIDATE = "no-cache"
# Reflex's own endpoints, which the pages don't use. The API has its own health check. HTTP polling for the
# websocket would read a request of any size into memory.
_CLOSED = tuple(str(endpoint) for endpoint in Endpoint)
_MISSING_FILE = "/404/none"


class PageFiles:
    """ASGI middleware around the pages: `/customers` is the page, and `/customers/` redirects to it.

    Only files are served over HTTP, and none of Reflex's own endpoints. A page with subpages is a directory
    in the build, for which the file server would redirect to the address with a slash. The slash is added
    internally instead, so that the browser doesn't see it.
    """

    def __init__(self, pages: ASGIApp, routes: frozenset[str]) -> None:
        self.pages = pages
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; websockets and the lifespan pass through."""
        if scope["type"] != "http":
            await self.pages(scope, receive, send)
            return
        path = scope["path"]
        without_slash = path.rstrip("/")
        if path != without_slash and without_slash in self.routes:
            query = scope["query_string"].decode("latin-1")
            location = f"{without_slash}?{query}" if query else without_slash
            await RedirectResponse(location, status_code=308)(scope, receive, send)
            return
        if path in self.routes:
            scope = _with_path(scope, f"{path}/")
        elif any(path == closed or path.startswith(f"{closed}/") for closed in _CLOSED):
            scope = _with_path(scope, _MISSING_FILE)
        await self.pages(scope, receive, _with_caching(send, never_changes=path.startswith("/assets/")))


def _with_path(scope: Scope, path: str) -> Scope:
    return {**scope, "path": path, "raw_path": path.encode()}


def _with_caching(send: Send, *, never_changes: bool) -> Send:
    async def send_with_header(message: Message) -> None:
        if message["type"] == "http.response.start":
            is_found = message["status"] in (200, 304)
            headers = MutableHeaders(scope=message)
            headers["Cache-Control"] = _NEVER_CHANGES if never_changes and is_found else _REVALIDATE
        await send(message)

    return send_with_header
