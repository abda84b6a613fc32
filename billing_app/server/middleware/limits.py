"""Limits on requests and responses: the size, speed and format of a request, and how fast a client reads."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from contextlib import suppress
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing_app.api.wire.problems import Problem, of_status
from billing_app.services.usage_imports.files import FILE_BYTES_MAX

logger = logging.getLogger(__name__)

BODY_BYTES_MAX = 16 * 1024 * 1024
# In all requests in progress together.
BODIES_BYTES_MAX = 16 * BODY_BYTES_MAX
BODY_SECONDS_MAX = 60.0
# Of a request without its body.
HEAD_BYTES_MAX = 32 * 1024
# Without receiving a byte of an unfinished body.
PIECE_SECONDS_MAX = 10.0
# For a client to read the buffered part of the response, at most a few hundred kilobytes.
SEND_SECONDS_MAX = 30.0
# Of a rejected body, read and dropped because a client doesn't read the response while it is sending.
DROPPED_BYTES_MAX = 4 * BODY_BYTES_MAX

# A name or an address, with an optional port.
_AUTHORITY = re.compile(r"([a-z0-9._~-]+|\[[0-9a-f:.]+\])(:[0-9]{0,5})?", re.IGNORECASE)
# A name has 253 letters at most.
_AUTHORITY_BYTES_MAX = 300
# Of the hosts and origins that were found to be well-formed or not.
_REMEMBERED_MAX = 256
PROTOCOL_ERROR = 1002
CLOSE = {"Connection": "close"}
_WITH_BODY = {"POST", "PUT", "PATCH"}
_JSON_TYPES = {
    "application/json",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
}
# Paths that accept files, with their types. A file is streamed and never kept in memory.
_FILE_TYPES = {"/api/v1/usage/imports": {"text/csv", "application/gzip"}}
FILE_SECONDS_MAX = 3600.0
_ENCODING_SHOWN_MAX = 40


class BodyLimits:
    """ASGI middleware that rejects bodies with a wrong type, encoding, size or speed.

    415 for a wrong Content-Type or any Content-Encoding, 413 for a body over the limit, 408 for a slow
    one. The size is checked by Content-Length before the body is read, and again while it arrives. Each piece
    must arrive within PIECE_SECONDS_MAX, and the whole body within BODY_SECONDS_MAX. 503 if all bodies
    together exceed BODIES_BYTES_MAX. On the paths that accept files, bodies may be larger and slower.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        if scope["type"] != "http" or scope["method"] not in _WITH_BODY:
            await self.app(scope, receive, send)
            return
        file_types = _FILE_TYPES.get(scope["path"])
        body = _Body(self, receive, is_file=file_types is not None)
        refusal = _refuse_head(Headers(scope=scope), file_types or _JSON_TYPES, body.bytes_max)
        if refusal:
            await body.refuse(refusal, scope, send)
            return
        try:
            await self.app(scope, body.receive, send)
        finally:
            self._held -= 0 if body.is_file else body.received

    def hold(self, size: int) -> bool:
        """Count bytes of a body that are kept in memory. Return whether all bodies are within the limit."""
        self._held += size
        return self._held <= BODIES_BYTES_MAX


def _refuse_head(headers: Headers, media_types: set[str], bytes_max: int) -> Problem | None:
    """Return the error for a body whose headers already violate a limit."""
    length = headers.get("content-length", "")
    has_body = length not in ("", "0") or "transfer-encoding" in headers
    encoding = ", ".join(headers.getlist("content-encoding")).strip()
    if encoding.lower() not in ("", "identity"):
        shown = encoding[:_ENCODING_SHOWN_MAX]
        detail = f"Content-Encoding {shown} is not accepted. Send the body without an encoding."
        return of_status(415, {**CLOSE, "Accept-Encoding": "identity"}, detail=detail)
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if has_body and media_type not in media_types:
        return of_status(415, CLOSE)
    if length.isdigit() and int(length) > bytes_max:
        return of_status(413, CLOSE)
    return None


class _Body:
    """The body of a request as it arrives. Raises an HTTPException to its reader if a limit is exceeded.

    FastAPI would respond to any other exception with 400.
    """

    def __init__(self, limits: BodyLimits, receive: Receive, *, is_file: bool) -> None:
        self.is_file = is_file
        self.bytes_max = FILE_BYTES_MAX if is_file else BODY_BYTES_MAX
        self.received = 0
        self._limits = limits
        self._receive = receive
        self._deadline: float | None = None
        self._is_complete = False

    async def receive(self) -> Message:
        """Return the next piece. Raises HTTPException with status 408, 413 or 503."""
        if self._is_complete:
            # A reader that calls this again is waiting for the client to disconnect.
            return await self._receive()
        message = await self._next_piece()
        size = len(message.get("body", b""))
        self.received += size
        fits = self.is_file or self._limits.hold(size)
        if self.received > self.bytes_max:
            raise HTTPException(413, headers=CLOSE)
        if not fits:
            raise HTTPException(503, headers={**CLOSE, "Retry-After": "1"})
        return message

    async def refuse(self, refusal: Problem, scope: Scope, send: Send) -> None:
        """Respond at once, then drop some of the body so that the client can read the response.

        The response ends only after that, because the server then closes the connection.
        """

        async def send_unfinished(message: Message) -> None:
            if message["type"] == "http.response.start":
                del MutableHeaders(scope=message)["content-length"]
                await send(message)
            else:
                await send({**message, "more_body": True})

        await refusal(scope, self._receive, send_unfinished)
        dropped = 0
        with suppress(HTTPException):
            while not self._is_complete and dropped <= DROPPED_BYTES_MAX:
                dropped += len((await self._next_piece()).get("body", b""))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _next_piece(self) -> Message:
        if self._deadline is None:
            self._deadline = time.monotonic() + (FILE_SECONDS_MAX if self.is_file else BODY_SECONDS_MAX)
        try:
            async with asyncio.timeout(min(PIECE_SECONDS_MAX, self._deadline - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, headers=CLOSE) from None
        self._is_complete = message["type"] != "http.request" or not message.get("more_body")
        return message


class ClientLimits:
    """ASGI middleware that rejects malformed requests, and disconnects clients that don't read.

    400 for a request with no or several hosts, with a malformed Host or Origin, or with a target that is not
    a path. 431 for a header over HEAD_BYTES_MAX. If a client doesn't read for SEND_SECONDS_MAX, its response
    is cancelled, which releases the thread and the database connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
        elif refusal := judge_head(scope):
            await _refuse(refusal, scope, receive, send)
        elif scope["type"] == "websocket":
            # Websocket pings already detect a client that no longer reads.
            await self.app(scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, cancelled when its client does not read.

        An answer in one piece is handed over without waiting for the client, so only longer ones get
        a timer. asyncio.timeout would cost every request as much as the rest of this layer.
        """
        loop, answering = asyncio.get_running_loop(), asyncio.current_task()
        assert answering is not None
        is_long = is_too_slow = False

        def stop() -> None:
            nonlocal is_too_slow
            is_too_slow = True
            answering.cancel()

        async def send_in_time(message: Message) -> None:
            nonlocal is_long
            is_long = is_long or message.get("more_body", False)
            if not is_long:
                await send(message)
                return
            timer = loop.call_later(SEND_SECONDS_MAX, stop)
            try:
                await send(message)
            finally:
                timer.cancel()

        try:
            await self.app(scope, receive, send_in_time)
        except asyncio.CancelledError:
            # Somebody else may have cancelled it at the same time.
            if not is_too_slow or answering.uncancel():
                raise
            logger.warning("Stopped answering a client that did not read its answer.")


def judge_head(scope: Scope) -> int:
    """Return the status to refuse a malformed request with, or 0."""
    size = len(scope["raw_path"]) + len(scope["query_string"])
    hosts = origins = 0
    is_valid = scope["path"].startswith("/")
    for name, value in scope["headers"]:
        size += len(name) + len(value)
        if name == b"host":
            hosts += 1
            is_valid = is_valid and _is_authority(value)
        elif name == b"origin":
            origins += 1
            is_valid = is_valid and _is_origin(value)
    if size > HEAD_BYTES_MAX:
        return 431
    if not is_valid or hosts > 1 or origins > 1:
        return 400
    return 400 if not hosts and scope["http_version"] not in ("1", "1.0") else 0


def _is_origin(value: bytes) -> bool:
    return value == b"null" or _is_authority(value.partition(b"://")[2])


def _is_authority(value: bytes) -> bool:
    return len(value) <= _AUTHORITY_BYTES_MAX and _is_well_formed(value)


@lru_cache(_REMEMBERED_MAX)
def _is_well_formed(value: bytes) -> bool:
    text = value.decode("latin-1")
    try:
        urlsplit(f"//{text}")
    except ValueError:  # The text in the brackets is not an address.
        return False
    return _AUTHORITY.fullmatch(text) is not None


async def _refuse(status: int, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": PROTOCOL_ERROR})
    else:
        await of_status(status, CLOSE)(scope, receive, send)
