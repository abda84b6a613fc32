"""Who may open the pages' websocket, and with which client token."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from billing_app.database.session import is_unavailable
from billing_app.errors import Unauthenticated
from billing_app.runtime import current
from billing_app.web import is_own_origin, session_token

SOCKET_PATH = "/_event"
NOT_SIGNED_IN = ""
TOKENS_MAX = 100_000
POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013


class SocketGuard:
    """ASGI middleware that rejects a websocket handshake that could access another user's state.

    Reflex gives access to a state to any client that sends its client token, and browsers choose their
    tokens. So here, a token belongs to the session that first used it, or to a browser that is not signed in.
    It is rejected for every other session, for the same session once it has ended, and for a foreign
    `Origin`. The owners are stored in this process, like the states.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._owners: OrderedDict[str, str] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on, except handshakes that are not allowed."""
        is_handshake = scope["type"] == "websocket" and scope["path"].startswith(SOCKET_PATH)
        try:
            refusal = POLICY_VIOLATION
            is_allowed = not is_handshake or await self._is_allowed(HTTPConnection(scope))
        except Exception as error:
            if not is_unavailable(error):
                raise
            current().database.outages.report("opening a page's websocket", error)
            refusal, is_allowed = TRY_AGAIN_LATER, False
        if is_allowed:
            await self.app(scope, receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": refusal})

    async def _is_allowed(self, connection: HTTPConnection) -> bool:
        client_token = connection.query_params.get("token", "")
        if not client_token or not is_own_origin(connection):
            return False
        cookie = session_token(connection.headers.get("cookie", ""))
        session_id = await asyncio.to_thread(_session_of, cookie) if cookie else NOT_SIGNED_IN
        owner = self._owners.setdefault(client_token, session_id)
        self._owners.move_to_end(client_token)
        if len(self._owners) > TOKENS_MAX:
            self._owners.popitem(last=False)
        return owner == session_id


def _session_of(token: str) -> str:
    try:
        return current().authenticator.authenticate(token).session_id
    except Unauthenticated:
        return NOT_SIGNED_IN
