"""The list of customers."""

from __future__ import annotations

from typing import Any

import reflex as rx

from billing_app.services import customers, plans, reports
from billing_app.state import address, text
from billing_app.state.errors import LOADING, loading
from billing_app.state.lists import Listing, Option, Pages, asked
from billing_app.state.rows.customers import CustomerItem
from billing_app.state.session import call

ROWS = 25
PLANS = 50


class CustomersState(rx.State):
    """A page of customers, found by name, email or key, by status and by plan."""

    phase: str = LOADING
    problem: str = ""
    rows: rx.Field[list[CustomerItem]] = rx.field(default_factory=list)
    pages: Pages = Pages()
    is_filtered: bool = False
    plans: rx.Field[list[Option]] = rx.field(default_factory=list)

    @rx.event
    async def load(self) -> None:
        """Show the page that the address names."""
        listing = asked(self, "/customers", "search", "status", "plan")
        self.is_filtered = listing.is_filtered
        async with loading(self):
            page, owed, offered = await call(self, _read, listing)
            self.plans = [Option(plan.public_id, text.plan(plan.name, plan.version)) for plan in offered]
            self.rows = [_row(customer, owed.get(customer.customer_id)) for customer in page.items]
            self.pages = listing.pages(page.next_cursor)


def _read(session: Any, actor: Any, listing: Listing) -> Any:
    page = customers.list_customers(
        session,
        actor,
        search=listing.get("search"),
        status=listing.get("status"),
        plan=listing.get("plan"),
        limit=ROWS,
        cursor=listing.cursor,
    )
    owed = reports.outstanding_by_customer(session, actor, [each.customer_id for each in page.items])
    return page, owed, plans.list_plans(session, actor, limit=PLANS).items


def _row(customer: customers.CustomerRow, outstanding_minor: int | None) -> CustomerItem:
    return CustomerItem(
        href=address.link(f"/customers/{customer.key}"),
        name=customer.name,
        email=customer.email,
        key=customer.key,
        plan=text.plan(customer.plan_name, customer.plan_version),
        status=customer.status,
        outstanding=text.money(outstanding_minor or 0, customer.currency),
        owes=bool(outstanding_minor),
    )
