"""Support HEAD wherever GET is supported."""

from __future__ import annotations

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class HeadAsGet:
    """ASGI middleware that responds to HEAD with the status and headers of GET, without the body.

    The application sees a GET. It is cancelled once it has produced the first part of a longer body,
    so that the HEAD of a large export costs no more than its beginning.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; everything but HEAD passes through."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        as_get = {**scope, "method": "GET"}
        with anyio.CancelScope() as answering:

            async def send_without_body(message: Message) -> None:
                if message["type"] != "http.response.body":
                    await send(message)
                    return
                # The outer layers name the route in metrics and logs.
                scope["route"] = as_get.get("route")
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                if message.get("more_body"):
                    answering.cancel()

            await self.app(as_get, receive, send_without_body)
