"""The page on which users change their password."""

from __future__ import annotations

import reflex as rx

from billing_app.state.kit.session import authenticated


class PasswordState(rx.State):
    """The signed-in user's email, and whether a one-time password must be replaced."""

    email: str = ""
    one_time: bool = False

    @rx.event
    async def load(self) -> None:
        """Load the signed-in user. Visitors who are not signed in are sent to the sign-in page."""
        viewer = await authenticated(self)
        self.email = viewer.user.email
        self.one_time = viewer.user.must_change_password
