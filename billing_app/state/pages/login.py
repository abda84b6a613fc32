"""The sign-in page: what it offers before anybody is signed in."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.errors import Unauthenticated
from billing_app.runtime import current
from billing_app.services.identity.demo_accounts import DEMO_USERS
from billing_app.state.kit.browser import run_in_browser
from billing_app.state.kit.session import ROLE_LABELS, authenticated
from billing_app.state.presenters.people import DemoAccount

_MAY = {
    "admin": "Everything, users and settings included",
    "billing": "Customers, plans, usage and invoices",
    "finance": "Reads everything, changes nothing",
}


class LoginState(rx.State):
    """The demo's accounts, in a demo only."""

    demo_accounts: rx.Field[list[DemoAccount]] = rx.field(default_factory=list)

    @rx.event
    async def load(self) -> Any:
        """Somebody who is signed in already goes on; reads nothing else of the database."""
        self.demo_accounts = [
            DemoAccount(ROLE_LABELS[user.role], user.email, user.password, _MAY[user.role])
            for user in DEMO_USERS
            if current().settings.demo
        ]
        try:
            await authenticated(self)
        except Unauthenticated:
            return None
        return run_in_browser("goToRequestedPage")
