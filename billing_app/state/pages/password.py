"""The page on which people choose a password of their own."""

from __future__ import annotations

import reflex as rx

from billing_app.state.kit.session import authenticated


class PasswordState(rx.State):
    """Whose password it is, and whether it is a one-time password that must be changed."""

    email: str = ""
    one_time: bool = False

    @rx.event
    async def load(self) -> None:
        """Read who is signed in; nobody is sent to the sign-in page."""
        who = await authenticated(self)
        self.email = who.user.email
        self.one_time = who.user.must_change_password
