"""How much, how slowly and in what form a request may come, and how slowly an answer be taken."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException

from billing_app.api.wire.problems import of_status
from billing_app.services.usage_imports.files import FILE_BYTES_MAX

logger = logging.getLogger(__name__)

BODY_BYTES_MAX = 16 * 1024 * 1024
# Of all requests that are being answered.
BODIES_BYTES_MAX = 16 * BODY_BYTES_MAX
BODY_SECONDS_MAX = 60.0
# Of a request without its body.
HEAD_BYTES_MAX = 32 * 1024
# Without a byte of a body that is still to come.
PIECE_SECONDS_MAX = 10.0
# For a client to take what waits for it: a few hundred kilobytes at most.
SEND_SECONDS_MAX = 30.0
# Of a refused body that is let go by, because a client that is still sending can't hear the refusal.
PASSED_BYTES_MAX = 4 * BODY_BYTES_MAX

# A name or an address, and perhaps a port.
_AUTHORITY = re.compile(r"([a-z0-9._~-]+|\[[0-9a-f:.]+\])(:[0-9]{0,5})?", re.IGNORECASE)
PROTOCOL_ERROR = 1002
_CLOSE = {"Connection": "close"}
_WITH_BODY = {"POST", "PUT", "PATCH"}
_JSON_TYPES = {
    "application/json",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
}
# Bodies that go on piece by piece as they come, and are held nowhere: by the path that they are sent to.
_FILE_TYPES = {"/api/v1/usage/imports": {"text/csv", "application/gzip"}}
FILE_SECONDS_MAX = 3600.0


class BodyLimits:
    """ASGI middleware: 415 for a body of a wrong type, 413 for one over the limit, 408 for a slow one.

    A body is judged by its Content-Length before anything of it is read, and as it comes: each
    piece within PIECE_SECONDS_MAX, the whole within BODY_SECONDS_MAX. 503 when all bodies
    together are over BODIES_BYTES_MAX. Files have more room and more time, where they are taken.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self._held = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http" or scope["method"] not in _WITH_BODY:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        has_body = length not in ("", "0") or "transfer-encoding" in headers
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        file_types = _FILE_TYPES.get(scope["path"])
        body = _Body(self, receive, is_file=file_types is not None)
        if has_body and media_type not in (file_types or _JSON_TYPES):
            await body.refuse(415, scope, send)
        elif length.isascii() and length.isdigit() and int(length) > body.bytes_max:
            await body.refuse(413, scope, send)
        else:
            try:
                await self.app(scope, body.receive, send)
            finally:
                self._held -= 0 if body.is_file else body.come

    def hold(self, size: int) -> bool:
        """Count what is kept of a body; False when it is too much for all together."""
        self._held += size
        return self._held <= BODIES_BYTES_MAX


class _Body:
    """One request's body as it comes. What breaks a limit is raised to whoever reads it.

    As HTTPException: what else a reader of bodies meets, FastAPI answers with 400.
    """

    def __init__(self, limits: BodyLimits, receive: Any, *, is_file: bool) -> None:
        self.is_file = is_file
        self.bytes_max = FILE_BYTES_MAX if is_file else BODY_BYTES_MAX
        self.come = 0
        self._limits = limits
        self._receive = receive
        self._until: float | None = None
        self._complete = False

    async def receive(self) -> Any:
        """The next piece; raises HTTPException of 408, 413 or 503."""
        if self._complete:
            # Whoever asks now waits for the client to leave.
            return await self._receive()
        message = await self._piece()
        size = len(message.get("body", b""))
        self.come += size
        fits = self.is_file or self._limits.hold(size)
        if self.come > self.bytes_max:
            raise HTTPException(413, headers=_CLOSE)
        if not fits:
            raise HTTPException(503, headers={**_CLOSE, "Retry-After": "1"})
        return message

    async def refuse(self, status: int, scope: Any, send: Any) -> None:
        """Answer at once, then let some of the body pass so that the client gets to reading it.

        The answer ends after that: the server closes the connection where it ends.
        """

        async def unfinished(message: Any) -> None:
            if message["type"] == "http.response.start":
                del MutableHeaders(scope=message)["content-length"]
                await send(message)
            else:
                await send({**message, "more_body": True})

        await of_status(status, _CLOSE)(scope, self._receive, unfinished)
        passed = 0
        with suppress(HTTPException):
            while not self._complete and passed <= PASSED_BYTES_MAX:
                passed += len((await self._piece()).get("body", b""))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _piece(self) -> Any:
        if self._until is None:
            self._until = time.monotonic() + (FILE_SECONDS_MAX if self.is_file else BODY_SECONDS_MAX)
        try:
            async with asyncio.timeout(min(PIECE_SECONDS_MAX, self._until - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, headers=_CLOSE) from None
        self._complete = message["type"] != "http.request" or not message.get("more_body")
        return message


class ClientLimits:
    """ASGI middleware around everything: refuses what no client sends, leaves who takes no answer.

    400 for a request that names no host or several, a Host or an Origin that is no such thing, or
    something else than a path; 431 for one whose head is over HEAD_BYTES_MAX. An answer whose
    client does not take it for SEND_SECONDS_MAX is cancelled: what it holds, it gives back in its
    own `finally`, a thread and a database connection among it.
    """

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif _head_bytes(scope) > HEAD_BYTES_MAX:
            await _refuse(431, scope, receive, send)
        elif not _is_sound(scope):
            await _refuse(400, scope, receive, send)
        elif scope["type"] == "websocket":
            # Its own pings find out who no longer reads.
            await self.app(scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as patience:

                async def soon(message: Any) -> None:
                    patience.reschedule(loop.time() + SEND_SECONDS_MAX)
                    try:
                        await send(message)
                    finally:
                        if not patience.expired():
                            patience.reschedule(None)

                await self.app(scope, receive, soon)
        except TimeoutError:
            if not patience.expired():
                raise
            logger.warning("gave up on a client that did not take its answer")


def _head_bytes(scope: Any) -> int:
    target = len(scope["raw_path"]) + len(scope["query_string"])
    return target + sum(len(name) + len(value) for name, value in scope["headers"])


def _is_sound(scope: Any) -> bool:
    headers = Headers(scope=scope)
    hosts, origins = headers.getlist("host"), headers.getlist("origin")
    if not scope["path"].startswith("/") or len(origins) > 1:
        return False
    if len(hosts) > 1 or (not hosts and scope["http_version"] not in ("1", "1.0")):
        return False
    return all(_is_authority(host) for host in hosts) and all(
        origin == "null" or _is_authority(origin.partition("://")[2]) for origin in origins
    )


def _is_authority(text: str) -> bool:
    try:
        urlsplit(f"//{text}")
    except ValueError:  # no address within the brackets
        return False
    return _AUTHORITY.fullmatch(text) is not None


async def _refuse(status: int, scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": PROTOCOL_ERROR})
    else:
        await of_status(status, _CLOSE)(scope, receive, send)
