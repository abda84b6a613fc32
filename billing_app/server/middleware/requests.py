"""What every request gets: an id in and out, a place in the metrics, and at most one line in the log."""

from __future__ import annotations

import asyncio
import logging
from http import HTTPMethod
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing_app.api.app import VERSION_PREFIX
from billing_app.runtime import current
from billing_app.telemetry.request_ids import REQUEST_ID, choose_request_id

logger = logging.getLogger(__name__)

HEADER = b"x-request-id"
# Reports of single events arrive at thousands per second and are answered outside of FastAPI.
EVENT_REPORTS = frozenset({f"{VERSION_PREFIX}/usage", f"{VERSION_PREFIX}/events"})
LINES_PER_SECOND_MAX = 50
# What a server answers when its client went away first. It is never sent.
CLIENT_CLOSED = 499

_METHODS = frozenset(HTTPMethod)
_PROBES = ("/api/health", "/api/docs", "/api/openapi.json")


class Requests:
    """ASGI middleware that gives a request its id, measures it, and logs it.

    It is the outermost layer, and costs about two microseconds. Labels and log lines contain a route's
    template and never an address, because addresses contain keys of customers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._lines = LineLimit(LINES_PER_SECOND_MAX)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._converse(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        request_id = _choose_id(scope)
        status = 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (HEADER, request_id.encode())]
            await send(message)

        try:
            await self.app(scope, receive, send_with_id)
        except asyncio.CancelledError:
            status = status or CLIENT_CLOSED
            raise
        except Exception:
            status = status or 500
            raise
        finally:
            self._note(scope, status or CLIENT_CLOSED, perf_counter() - started)

    async def _converse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count a page's open websocket. What its handlers log has the id of the handshake."""
        _choose_id(scope)
        metrics = current().metrics
        metrics.open_websockets += 1
        try:
            await self.app(scope, receive, send)
        finally:
            metrics.open_websockets -= 1

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = _route_template(scope, method)
        current().metrics.request_answered(method, route, status, seconds)
        level = _level(method, route, status)
        if logger.isEnabledFor(level) and self._lines.allows(level):
            facts = {"method": method, "route": route, "status": status, "seconds": round(seconds, 4)}
            if omitted := self._lines.take_omitted():
                facts["lines_omitted"] = omitted
            logger.log(level, "request", extra=facts)


class LineLimit:
    """Limits log lines per second, so that no caller can fill the disk. Warnings are limited as well."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._second = 0
        self._lines = 0
        self._omitted = 0

    def allows(self, level: int) -> bool:
        """Return whether a line may be logged, and count it. Lines for debugging always may."""
        if level <= logging.DEBUG:
            return True
        second = int(perf_counter())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines > self._per_second:
            self._omitted += 1
            return False
        return True

    def take_omitted(self) -> int:
        """Return how many lines were omitted since the last call."""
        omitted, self._omitted = self._omitted, 0
        return omitted


def _choose_id(scope: Scope) -> str:
    sent = b""
    for name, value in scope["headers"]:
        if name == HEADER:
            sent = value
            break
    request_id = choose_request_id(sent)
    REQUEST_ID.set(request_id)
    return request_id


def _route_template(scope: Scope, method: str) -> str:
    """Return the template of the route that answered, such as `/api/v1/customers/{customer}`."""
    path: str = scope["path"]
    route = scope.get("route")
    if route is not None and isinstance(template := getattr(route, "path", None), str):
        # FastAPI keeps the prefix of an included router apart from its routes. It has no parameters.
        return template if template.startswith("/api") else _prefix(path, template) + template
    if method == "POST" and path in EVENT_REPORTS:
        return path
    return "unknown" if path.startswith("/api/") else "pages"


def _prefix(path: str, template: str) -> str:
    return path.rsplit("/", template.count("/"))[0]


def _level(method: str, route: str, status: int) -> int:
    """Return how important a request's line is. Routine ones are logged for debugging only."""
    if status == 503:
        # Its cause is logged by itself, and once for thousands of requests (OutageLog).
        return logging.DEBUG
    if status >= 500:
        return logging.WARNING
    if status >= 400:
        return logging.INFO
    is_routine = (
        route == "pages" or route.startswith(_PROBES) or (method == "POST" and route in EVENT_REPORTS)
    )
    return logging.DEBUG if is_routine else logging.INFO
