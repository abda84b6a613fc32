"""How the built pages' files are answered: one address for each page, caching, and nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from reflex_base.constants import Endpoint
from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse

Scope = MutableMapping[str, Any]
ASGIApp = Callable[[Scope, Callable[..., Awaitable[Any]], Callable[..., Awaitable[None]]], Awaitable[None]]

# Vite names these after their content.
_NEVER_CHANGES = "public, max-age=31536000, immutable"
_ASK_FIRST = "no-cache"
# Reflex's own endpoints, which no page here asks: the health of the server is told by the API, and
# the websocket has no polling, whose requests would be read whole whatever their size.
_CLOSED = tuple(str(endpoint) for endpoint in Endpoint)
_NO_SUCH_FILE = "/404/none"


class PageFiles:
    """ASGI middleware around the pages: `/customers` is the page, `/customers/` leads to it.

    Nothing but files is answered over HTTP, Reflex's own endpoints least of all. A page with
    children is a directory in the build, and the file server would redirect to it with a slash,
    so the slash is added here without the browser's knowing.
    """

    def __init__(self, pages: ASGIApp, routes: frozenset[str]) -> None:
        self.pages = pages
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer one request; websockets and the lifespan pass through."""
        if scope["type"] != "http":
            await self.pages(scope, receive, send)
            return
        path = scope["path"]
        plain = path.rstrip("/")
        if path != plain and plain in self.routes:
            query = scope["query_string"].decode("latin-1")
            response = RedirectResponse(f"{plain}?{query}" if query else plain, status_code=308)
            await response(scope, receive, send)
            return
        if path in self.routes:
            scope = _at(scope, f"{path}/")
        elif any(path == closed or path.startswith(f"{closed}/") for closed in _CLOSED):
            scope = _at(scope, _NO_SUCH_FILE)
        await self.pages(scope, receive, _cached(send, path.startswith("/assets/")))


def _at(scope: Scope, path: str) -> Scope:
    return {**scope, "path": path, "raw_path": path.encode()}


def _cached(send: Any, never_changes: bool) -> Any:
    async def send_with_header(message: Any) -> None:
        if message["type"] == "http.response.start":
            found = message["status"] in (200, 304)
            headers = MutableHeaders(scope=message)
            headers["Cache-Control"] = _NEVER_CHANGES if never_changes and found else _ASK_FIRST
        await send(message)

    return send_with_header
