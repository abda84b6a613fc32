"""Reflex's websocket protocol by hand, as somebody who is not a browser would speak it."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from simple_websocket import Client, ConnectionClosed, ConnectionError

NAMESPACE = "/_event"
QUIET_SECONDS = 0.6
ANSWER_SECONDS_MAX = 60


class Refused(Exception):
    """The server did not take the handshake."""


class Socket:
    """One connection: events out, and whatever comes back as text."""

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
            opened = self._receive(ANSWER_SECONDS_MAX)
            self._client.send(f"40{NAMESPACE},")
            answer = self._receive(ANSWER_SECONDS_MAX)
        except (ConnectionError, ConnectionClosed) as error:
            raise Refused(str(error)) from error
        if not str(opened).startswith("0") or not str(answer).startswith("40"):
            raise Refused(f"{opened} {answer}")

    def send(self, name: str, payload: dict[str, Any], path: str = "/") -> None:
        """Send one event as from the page at `path`."""
        event = {
            "name": name,
            "payload": payload,
            "token": self.token,
            "router_data": {"pathname": path, "asPath": path},
        }
        self._client.send(f"42{NAMESPACE},{json.dumps(['event', event])}")

    def heard(self, quiet_seconds: float = QUIET_SECONDS) -> str:
        """All that comes until the server has been quiet for a while."""
        messages: list[str] = []
        while (message := self._receive(quiet_seconds)) is not None:
            if message == "2":
                self._client.send("3")
            messages.append(str(message))
        return "\n".join(messages)

    def _receive(self, seconds_max: float) -> Any:
        """The next message, None without one. Looked for again and again: what comes right after the
        handshake does not wake the library's own waiting.
        """
        until = time.monotonic() + seconds_max
        while (message := self._client.receive(timeout=0.02)) is None and time.monotonic() < until:
            pass
        return message

    def close(self) -> None:
        self._client.close()
