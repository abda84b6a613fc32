"""`POST /usage` and `POST /events` with one event, answered without the framework.

FastAPI and the other middleware take several times as long for a request as recording its event does. So
the requests that senders make by the thousand are answered here: one event as a JSON object, with an
API token. All others go on to the endpoints, which describe both in the API documentation and give
every other answer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing_app.api import events, usage
from billing_app.api.wire import problems
from billing_app.api.wire.routing import PARSED_ON_THE_LOOP_BYTES, loads_exactly
from billing_app.domain.actor import Actor
from billing_app.errors import BillingError
from billing_app.runtime import current
from billing_app.server.middleware.limits import CLOSE, PIECE_SECONDS_MAX, judge_head
from billing_app.services.identity.token_form import PREFIX

Record = Callable[[Actor, dict[str, Any]], Awaitable[ASGIApp | None]]

_BEARER = b"Bearer " + PREFIX.encode()
_ONE_EVENT_TYPES = {b"application/json", b"application/cloudevents+json"}
_LEFT_TO_OTHERS = {b"content-encoding", b"transfer-encoding", b"expect"}


class SingleEvents:
    """ASGI middleware that records single events, and passes on everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._endpoints: dict[str, Record] = {
            "/api/v1/usage": usage.record_single,
            "/api/v1/events": events.record_single,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        record = scope["type"] == "http" and scope["method"] == "POST" and self._endpoints.get(scope["path"])
        head = _read_head(scope) if record else None
        if not record or head is None:
            await self.app(scope, receive, send)
            return
        received: list[Message] = []
        answer: ASGIApp | None
        try:
            # First, so that the body of an unknown sender is not even read.
            actor = await current().authenticator.token_actor(head.token)
            event = _decode(await _receive_body(receive, head.body_bytes, received))
            answer = None if event is None else await record(actor, event)
        except BillingError as refusal:
            answer = problems.of_refusal(refusal)
        except TimeoutError:
            answer = problems.of_status(408, CLOSE)
        except Exception as error:  # noqa: BLE001 - it is logged, and answered like any other request's
            answer = problems.report_unexpected_error(error)
        if answer is None:
            await self.app(scope, _replay(received, receive), send)
        else:
            await answer(scope, receive, send)


class _Head(NamedTuple):
    token: str
    body_bytes: int


def _read_head(scope: Scope) -> _Head | None:
    """Return what the head of a request says, or None if it needs any other look."""
    if scope["query_string"] or judge_head(scope):
        return None
    token, length, is_json = b"", b"", False
    for name, value in scope["headers"]:
        if name == b"authorization":
            if token or not value.startswith(_BEARER):
                return None
            token = value[len(b"Bearer ") :]
        elif name == b"content-length":
            length = value
        elif name == b"content-type":
            is_json = value in _ONE_EVENT_TYPES
        elif name in _LEFT_TO_OTHERS or name.startswith(b"ce-"):
            return None
    if not token or not is_json or not length.isdigit() or int(length) > PARSED_ON_THE_LOOP_BYTES:
        return None
    return _Head(token.decode("latin-1"), int(length))


async def _receive_body(receive: Receive, size: int, received: list[Message]) -> bytes:
    """Receive a body of this size. Each message is added to `received`. Raises TimeoutError."""
    body = b""
    async with asyncio.timeout(PIECE_SECONDS_MAX):
        while len(body) < size:
            message = await receive()
            received.append(message)
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
    return body


def _decode(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a body, or None if it is anything else."""
    if not body.startswith(b"{"):
        return None
    try:
        event = loads_exactly(body)
    except json.JSONDecodeError:
        return None
    return event if isinstance(event, dict) else None


def _replay(received: list[Message], receive: Receive) -> Receive:
    """Return a `receive` that begins with what was already received."""

    async def replay() -> Message:
        return received.pop(0) if received else await receive()

    return replay
