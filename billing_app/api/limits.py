"""Refuses bodies that are too large or of the wrong type before anything reads them."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import Headers

from billing_app.api.problems import of_status

BODY_BYTES_MAX = 16 * 1024 * 1024
_WITH_BODY = {"POST", "PUT", "PATCH"}
_JSON_TYPES = {
    "application/json",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
}


class BodyLimits:
    """ASGI middleware: 415 for a body that is no JSON, 413 for one over the limit.

    A body without a Content-Length is counted as it comes in.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http" or scope["method"] not in _WITH_BODY:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        has_body = length not in ("", "0") or "transfer-encoding" in headers
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if has_body and media_type not in _JSON_TYPES:
            await of_status(415)(scope, receive, send)
        elif length.isdigit() and int(length) > BODY_BYTES_MAX:
            await of_status(413)(scope, receive, send)
        elif "transfer-encoding" in headers:
            await self._counted(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _counted(self, scope: Any, receive: Any, send: Any) -> None:
        messages, total = [], 0
        while True:
            message = await receive()
            messages.append(message)
            total += len(message.get("body", b""))
            if total > BODY_BYTES_MAX:
                await of_status(413)(scope, receive, send)
                return
            if message["type"] != "http.request" or not message.get("more_body"):
                break

        async def replay() -> Any:
            return messages.pop(0) if messages else await receive()

        await self.app(scope, replay, send)
