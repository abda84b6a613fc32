"""A client of Reflex's websocket protocol that can send anything, unlike a browser."""

from __future__ import annotations

import json
import uuid
from typing import Any

from simple_websocket import Client, ConnectionClosed, ConnectionError

NAMESPACE = "/_event"
QUIET_SECONDS = 0.6
ANSWER_SECONDS_MAX = 60


class Refused(Exception):
    """The server rejected the handshake."""


class Socket:
    """One connection, which sends events and returns the responses as text."""

    def __init__(
        self, site: str, *, token: str | None = None, origin: str | None = "", cookie: str = ""
    ) -> None:
        self.token = token or str(uuid.uuid4())
        address = site.replace("http", "ws", 1) + f"/_event/?token={self.token}&EIO=4&transport=websocket"
        # This client leaves the port out of its Host header, so its own origin is without one.
        own = site.rpartition(":")[0]
        headers = {"Origin": own if origin == "" else origin, "Cookie": cookie}
        try:
            self._client = Client(address, headers={name: value for name, value in headers.items() if value})
            # Sent at once: the client reads messages that arrive with the handshake, mostly the server's
            # greeting, only when the next message arrives.
            self._client.send(f"40{NAMESPACE},")
            greeting, answer = (self._client.receive(timeout=ANSWER_SECONDS_MAX) for _ in range(2))
        except (ConnectionError, ConnectionClosed) as error:
            raise Refused(str(error)) from error
        if not str(greeting).startswith("0") or not str(answer).startswith("40"):
            raise Refused(f"{greeting} {answer}")

    def send(self, name: str, payload: dict[str, Any], path: str = "/") -> None:
        """Send one event as the page at `path` would."""
        event = {
            "name": name,
            "payload": payload,
            "token": self.token,
            "router_data": {"pathname": path, "asPath": path},
        }
        self._client.send(f"42{NAMESPACE},{json.dumps(['event', event])}")

    def heard(self, quiet_seconds: float = QUIET_SECONDS) -> str:
        """Return everything that is received until the server has been quiet for a while."""
        messages: list[str] = []
        while (message := self._client.receive(timeout=quiet_seconds)) is not None:
            if message == "2":
                self._client.send("3")
            messages.append(str(message))
        return "\n".join(messages)

    def close(self) -> None:
        self._client.close()
