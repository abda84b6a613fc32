"""The guide for a new installation, shown on the dashboard until it is done or closed."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.domain.actor import Actor, Permission
from billing_app.runtime import current
from billing_app.services.dashboard.getting_started import (
    GettingStarted,
    dismiss_getting_started,
    get_getting_started,
)
from billing_app.state.kit.session import Session, call
from billing_app.state.presenters.getting_started import StepItem, list_steps, usage_command


class GettingStartedState(rx.State):
    """The steps of the guide. Finance users don't see it, because they can't do any of the steps."""

    is_shown: bool = False
    done: str = ""
    steps: rx.Field[list[StepItem]] = rx.field(default_factory=list)
    command: str = ""

    @rx.event
    async def load(self) -> None:
        """Show the guide while a step is left, unless the viewer has closed it."""
        progress, is_admin = await call(self, _read)
        self.is_shown = progress is not None and not (progress.is_complete or progress.is_dismissed)
        if progress is None or not self.is_shown:
            return
        self.steps = list_steps(progress, is_admin=is_admin)
        self.done = f"{sum(step.is_done for step in self.steps)} of {len(self.steps)} done"
        self.command = usage_command(current().settings.url(), progress.example_customer)

    @rx.event
    async def dismiss(self) -> Any:
        """Close the guide permanently for the viewer."""
        await call(self, dismiss_getting_started)
        self.is_shown = False
        return rx.toast.success("Getting started closed")


def _read(session: Session, actor: Actor) -> tuple[GettingStarted | None, bool]:
    """Return the progress, or None if the viewer can't do any step, and whether the viewer is an admin."""
    progress = get_getting_started(session, actor) if actor.may(Permission.WRITE_CUSTOMERS) else None
    return progress, actor.may(Permission.ADMINISTER)
