"""The state of the page that shows all components: a moving progress bar."""

from __future__ import annotations

import reflex as rx

from billing_app.state.kit.live import poll_while_open

TOTAL = 40


class DesignState(rx.State):
    """The progress that is shown."""

    done: int = 0
    _watch: int = 0

    @rx.event(background=True)
    async def watch(self) -> None:
        """Advance the progress until it is complete or the page is left."""
        async with self:
            self.done = 0
        async for _ in poll_while_open(self):
            async with self:
                self.done += 1
            if self.done >= TOTAL:
                break
