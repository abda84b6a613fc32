"""The people of the demo. Their passwords are public: they exist only where BILLING_DEMO is 1."""

from __future__ import annotations

from dataclasses import dataclass

from billing_app.domain.actor import Role


@dataclass(frozen=True, slots=True)
class DemoUser:
    """An account that the demo makes and its sign-in page offers."""

    email: str
    name: str
    role: Role
    password: str


DEMO_USERS = (
    DemoUser("admin@tallybook.test", "Ada Admin", Role.ADMIN, "demo-admin-2026"),
    DemoUser("billing@tallybook.test", "Ben Billing", Role.BILLING, "demo-billing-2026"),
    DemoUser("finance@tallybook.test", "Fay Finance", Role.FINANCE, "demo-finance-2026"),
)
