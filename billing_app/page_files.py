"""How the built pages' files are answered: one address for each page, caching, safe headers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse

Scope = MutableMapping[str, Any]
ASGIApp = Callable[[Scope, Callable[..., Awaitable[Any]], Callable[..., Awaitable[None]]], Awaitable[None]]

# Vite names these after their content.
_NEVER_CHANGES = "public, max-age=31536000, immutable"
_ASK_FIRST = "no-cache"
_SAFE = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class PageFiles:
    """ASGI middleware around the pages: `/customers` is the page, `/customers/` leads to it.

    A page with children is a directory in the build, and the file server would redirect to it
    with a slash, so the slash is added here without the browser's knowing.
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
            scope = {**scope, "path": f"{path}/", "raw_path": f"{path}/".encode()}
        await self.pages(scope, receive, _with_headers(send, path.startswith("/assets/")))


def _with_headers(send: Any, never_changes: bool) -> Any:
    async def send_with_headers(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            found = message["status"] in (200, 304)
            headers["Cache-Control"] = _NEVER_CHANGES if never_changes and found else _ASK_FIRST
            for name, value in _SAFE.items():
                headers[name] = value
        await send(message)

    return send_with_headers
