"""Sending requests as real senders do: what is not answered is sent again, unchanged, to any server."""

from __future__ import annotations

import http.client
import json
import random
import socket
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Condition, Event, Lock, Thread
from typing import Any

from soak.ledger import Ledger

# A frozen server answers nothing. Its senders turn to another one after this long.
ANSWER_SECONDS_MAX = 20.0
# After the faults have ended, everything must be answered within this time.
SETTLE_SECONDS_MAX = 180.0
_PAUSE_SECONDS = (0.05, 0.5)


class GivenUp(Exception):
    """A sender was told to stop before its request was answered."""


@dataclass(slots=True)
class Answer:
    """A response, and whether it is the first attempt's."""

    status: int
    body: Any
    attempts: int


@dataclass
class Traffic:
    """What all senders share: the servers' ports, the books, when to pause, and counts."""

    ports: Sequence[int]
    ledger: Ledger
    counts: Counter[str] = field(default_factory=Counter)
    over: Event = field(default_factory=Event)
    paused: bool = False
    parked: int = 0
    condition: Condition = field(default_factory=Condition)
    lock: Lock = field(default_factory=Lock)

    def count(self, what: str) -> None:
        """Count something that happened."""
        with self.lock:
            self.counts[what] += 1

    def wait_while_paused(self) -> None:
        """Wait, as one of the senders, while the load is paused."""
        with self.condition:
            self.parked += 1
            self.condition.notify_all()
            self.condition.wait_for(lambda: not self.paused or self.over.is_set())
            self.parked -= 1

    def pause(self, senders: int) -> bool:
        """Let all senders finish their request and wait. Return whether all of them did so in time."""
        with self.condition:
            self.paused = True
            return self.condition.wait_for(lambda: self.parked == senders, SETTLE_SECONDS_MAX)

    def go_on(self) -> None:
        """Let the senders continue."""
        with self.condition:
            self.paused = False
            self.condition.notify_all()


class Sender(Thread):
    """Sends one request after another until the soak is over. A subclass says which."""

    def __init__(self, number: int, traffic: Traffic, token: str, seed: int) -> None:
        super().__init__(name=f"{type(self).__name__} {number}", daemon=True)
        self.number, self.traffic, self.token = number, traffic, token
        self.chance = random.Random(f"{seed} {self.name}")
        self._made = 0
        self._connection: http.client.HTTPConnection | None = None

    def step(self) -> None:
        """Do one piece of work."""
        raise NotImplementedError

    def run(self) -> None:
        """Work until the soak is over."""
        while not self.traffic.over.is_set():
            if self.traffic.paused:
                self.traffic.wait_while_paused()
                continue
            try:
                self.step()
            except GivenUp:
                return
            except Exception as error:  # noqa: BLE001 - a sender that ends would go unnoticed
                self.traffic.ledger.report(f"{self.name} failed: {type(error).__name__}: {error}")

    def new_key(self) -> str:
        """Return a key that nobody else uses."""
        self._made += 1
        return f"{self.name.replace(' ', '-')}-{self._made}"

    def deliver(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        media_type: str = "application/json",
        headers: dict[str, str] | None = None,
        abandon: float = 0.0,
    ) -> Answer | None:
        """Send a request until a server answers it with anything but 503.

        With the probability `abandon`, an attempt without an answer is not repeated: then return None.
        """
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        attempts = 0
        while not self.traffic.over.is_set():
            attempts += 1
            answer = self._try(method, path, content, {"Content-Type": media_type, **(headers or {})})
            if answer is None and self.chance.random() < abandon:
                self.traffic.count("abandoned")
                return None
            if answer is not None and answer[0] != 503:
                return Answer(answer[0], _parse(answer[1]), attempts)
            self.traffic.over.wait(self.chance.uniform(*_PAUSE_SECONDS))
        raise GivenUp

    def expect(self, what: str, answer: Answer, *statuses: int) -> bool:
        """Return whether the answer has one of these statuses, and report it otherwise."""
        self.traffic.count(f"{what} {answer.status}")
        if answer.status in statuses:
            return True
        self.traffic.ledger.report(f"{what} was answered with {answer.status}: {str(answer.body)[:300]}")
        return False

    def _try(
        self, method: str, path: str, content: bytes, headers: dict[str, str]
    ) -> tuple[int, bytes] | None:
        """Send a request once. Return its status and body, or None if there is no complete answer."""
        try:
            if self._connection is None:
                port = self.chance.choice(self.traffic.ports)
                self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS_MAX)
            headers = {"Authorization": f"Bearer {self.token}", **headers}
            self._connection.request(method, f"/api/v1{path}", content or None, headers)
            response = self._connection.getresponse()
            answer = response.status, response.read()
            if response.status != 204 and not answer[1]:
                # The client takes headers for complete in which the connection was cut.
                raise http.client.IncompleteRead(answer[1])
            self.traffic.count("503" if response.status == 503 else "answers")
        except (OSError, http.client.HTTPException) as error:
            self.traffic.count("too late" if isinstance(error, socket.timeout) else "cut")
            self._disconnect()
            return None
        # Now and then a sender turns to another server.
        if answer[0] == 503 or self.chance.random() < 0.02:
            self._disconnect()
        return answer

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return body
