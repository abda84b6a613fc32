"""Polling ends by itself when the page is left, closed or polled again."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Self

import pytest
from reflex.utils import prerequisites

from billing_app.state.kit.live import poll_while_open
from tests.loops import in_a_loop


class Watched:
    """The parts of a background event's state that polling uses."""

    def __init__(self) -> None:
        self._watch = 0
        self.router = SimpleNamespace(
            url=SimpleNamespace(path="/verify"), session=SimpleNamespace(client_token="mine")
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    held = {"mine": "a socket"}
    app = SimpleNamespace(event_namespace=SimpleNamespace(token_to_sid=held))
    monkeypatch.setattr(prerequisites, "get_app", lambda: SimpleNamespace(app=app))
    return held


@pytest.mark.parametrize(
    "leave",
    [
        lambda state, sockets: setattr(state.router.url, "path", "/plans"),
        lambda state, sockets: sockets.clear(),
        lambda state, sockets: setattr(state, "_watch", state._watch + 1),
    ],
    ids=["left", "closed", "watched anew"],
)
def test_watching_ends(sockets: dict[str, str], leave: Callable[[Any, Any], None]) -> None:
    async def watched() -> int:
        state: Any = Watched()
        rounds = 0
        async for _ in poll_while_open(state, every=0):
            rounds += 1
            if rounds == 3:
                leave(state, sockets)
        return rounds

    assert in_a_loop(watched()) == 3
