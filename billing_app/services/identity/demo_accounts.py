"""The users of the demo. Their passwords are public, so they exist only where BILLING_DEMO is 1."""

from __future__ import annotations

from dataclasses import dataclass

from billing_app.domain.actor import Role


@dataclass(frozen=True, slots=True)
class DemoUser:
    """A user that the demo creates and the sign-in page of a demo offers."""

    email: str
    name: str
    role: Role
    password: str


DEMO_USERS = (
    DemoUser("admin@tallybook.test", "Ada Admin", Role.ADMIN, "demo-admin-2026"),
    DemoUser("billing@tallybook.test", "Ben Billing", Role.BILLING, "demo-billing-2026"),
    DemoUser("finance@tallybook.test", "Fay Finance", Role.FINANCE, "demo-finance-2026"),
)
