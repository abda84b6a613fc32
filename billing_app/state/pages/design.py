"""The page of all parts, which `make dev` alone serves: work that goes on, to be watched."""

from __future__ import annotations

import reflex as rx

from billing_app.state.kit.live import poll_while_open

ALL = 40


class DesignState(rx.State):
    """How far it is."""

    done: int = 0
    _watch: int = 0

    @rx.event(background=True)
    async def watch(self) -> None:
        """Show how far it is until it ends or the page is left."""
        async with self:
            self.done = 0
        async for _ in poll_while_open(self):
            async with self:
                self.done += 1
            if self.done >= ALL:
                break
