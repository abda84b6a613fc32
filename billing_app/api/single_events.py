"""`POST /usage` and `POST /events` with one event, answered without the framework.

FastAPI takes five times as long for a request as recording its event does. So the requests that senders
make by the thousand are answered here: one event as a JSON object, with an API token. All others go on
to the endpoints, which describe both in the API documentation and give every other answer.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from billing_app.api import events, usage
from billing_app.api.wire import problems
from billing_app.api.wire.routing import PARSED_ON_THE_LOOP_BYTES, loads_exactly
from billing_app.domain.actor import Actor
from billing_app.errors import BillingError
from billing_app.runtime import current
from billing_app.services.identity.token_form import PREFIX

Record = Callable[[Actor, dict[str, Any]], Awaitable[ASGIApp | None]]

_BEARER = b"Bearer " + PREFIX.encode()


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
        token = _plain_token(scope) if record else None
        if not record or token is None:
            await self.app(scope, receive, send)
            return
        received: list[Message] = []
        answer: ASGIApp | None
        try:
            # First, so that the body of an unknown sender is not even read.
            actor = await current().authenticator.token_actor(token)
            body = await _receive_short(receive, received)
            event = _decode(body)
            answer = None if event is None else await record(actor, event)
        except BillingError as refusal:
            answer = problems.of_refusal(refusal)
        except HTTPException as refusal:
            answer = problems.of_status(refusal.status_code, dict(refusal.headers or {}))
        if answer is None:
            await self.app(scope, _replay(received, receive), send)
        else:
            await answer(scope, receive, send)


def _plain_token(scope: Scope) -> str | None:
    """Return the API token of a request with nothing else to look at, or None."""
    if scope["query_string"]:
        return None
    token = None
    for name, value in scope["headers"]:
        if name == b"authorization":
            if token is not None or not value.startswith(_BEARER):
                return None
            token = value[len(b"Bearer ") :]
        elif name.startswith(b"ce-") or (name == b"content-type" and b"batch" in value):
            # An event in headers, or a list of events.
            return None
    return None if token is None else token.decode("latin-1")


async def _receive_short(receive: Receive, received: list[Message]) -> bytes:
    """Receive a body, or the part that shows that it is long. Each message is added to `received`."""
    body = b""
    while len(body) <= PARSED_ON_THE_LOOP_BYTES:
        message = await receive()
        received.append(message)
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


def _decode(body: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a short body, or None if it is anything else."""
    if not body.startswith(b"{") or len(body) > PARSED_ON_THE_LOOP_BYTES:
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
