"""The sign-in page."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.errors import Unauthenticated
from billing_app.runtime import current
from billing_app.services.identity.demo_accounts import DEMO_USERS
from billing_app.state.kit.browser import run_in_browser
from billing_app.state.kit.session import ROLE_LABELS, authenticated
from billing_app.state.presenters.people import DemoAccount

_ACCESS = {
    "admin": "Full access, including users and settings",
    "billing": "Customers, plans, usage and invoices",
    "finance": "View everything, change nothing",
}


class LoginState(rx.State):
    """The accounts of the demo, or empty without the demo."""

    demo_accounts: rx.Field[list[DemoAccount]] = rx.field(default_factory=list)

    @rx.event
    async def load(self) -> Any:
        """Show the demo's accounts, and leave the page if the viewer is already signed in."""
        self.demo_accounts = [
            DemoAccount(ROLE_LABELS[user.role], user.email, user.password, _ACCESS[user.role])
            for user in DEMO_USERS
            if current().settings.demo
        ]
        try:
            await authenticated(self)
        except Unauthenticated:
            return None
        return run_in_browser("goToRequestedPage")
