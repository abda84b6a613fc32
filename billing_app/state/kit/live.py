"""Watching work that goes on elsewhere, as long as somebody looks at the page that shows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import reflex as rx
from reflex.utils import prerequisites

EVERY_SECONDS = 0.5


async def poll_while_open(state: rx.State, *, every: float = EVERY_SECONDS) -> AsyncIterator[None]:
    """Comes round until the page is left, closed, or watched anew; for background events only.

    The state has a private counter `_watch: int = 0`. Ends by itself: whoever iterates reads and
    shows, and breaks when the work has ended.
    """
    page: Any = state
    async with state:
        page._watch += 1
        mine, path = page._watch, str(state.router.url.path)
    while True:
        yield
        await asyncio.sleep(every)
        async with state:
            if page._watch != mine or str(state.router.url.path) != path or not _is_open(state):
                return


def _is_open(state: rx.State) -> bool:
    """Whether the browser that sent the event still holds its websocket."""
    namespace = prerequisites.get_app().app.event_namespace
    return namespace is not None and state.router.session.client_token in namespace.token_to_sid
