"""Who may open the pages' websocket, and under which client token."""

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
NOBODY = ""
TOKENS_MAX = 100_000
POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013


class SocketGuard:
    """ASGI middleware: refuses a handshake that could reach somebody else's state.

    Reflex gives a state to whoever presents its client token, and the browser picks the token.
    So a token belongs to the session that first used it (or to nobody signed in), and is refused
    to every other session, to the same one once it is over, and to a foreign `Origin`. Kept in
    this process, as the states themselves are.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._owners: OrderedDict[str, str] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on but a handshake that is not allowed."""
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
        owner = await asyncio.to_thread(_session_of, cookie) if cookie else NOBODY
        known = self._owners.setdefault(client_token, owner)
        self._owners.move_to_end(client_token)
        if len(self._owners) > TOKENS_MAX:
            self._owners.popitem(last=False)
        return known == owner


def _session_of(token: str) -> str:
    try:
        return current().authenticator.authenticate(token).session_id
    except Unauthenticated:
        return NOBODY
