"""Follow background work while a page shows it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import reflex as rx
from reflex.utils import prerequisites

EVERY_SECONDS = 0.5


async def poll_while_open(state: rx.State, *, every: float = EVERY_SECONDS) -> AsyncIterator[None]:
    """Yield now and then every half second, until the page is left, closed or reloaded.

    For background events of a state with a private counter `_watch: int = 0`. The caller shows the progress
    each time, and breaks when the work has ended.
    """
    page: Any = state
    async with state:
        page._watch += 1
        own_watch, path = page._watch, str(state.router.url.path)
    while True:
        yield
        await asyncio.sleep(every)
        async with state:
            if page._watch != own_watch or str(state.router.url.path) != path or not _is_connected(state):
                return


def _is_connected(state: rx.State) -> bool:
    """Return whether the browser that sent the event still has its websocket."""
    namespace = prerequisites.get_app().app.event_namespace
    return namespace is not None and state.router.session.client_token in namespace.token_to_sid
