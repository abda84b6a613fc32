"""The list of customers."""

from __future__ import annotations

import json
from typing import Any

import reflex as rx

from billing_app.services import customers, reports
from billing_app.state import address, text
from billing_app.state.errors import LOADING, loading
from billing_app.state.rows import CustomerItem
from billing_app.state.session import call

ROWS = 25


class CustomersState(rx.State):
    """A page of customers, found by name or email."""

    phase: str = LOADING
    problem: str = ""
    rows: rx.Field[list[CustomerItem]] = rx.field(default_factory=list)
    search: str = ""
    # Renews the search field when the address, and not typing, changed what is searched for.
    search_field: int = 0
    next_href: str = ""
    previous_href: str = ""

    @rx.event
    async def load(self) -> None:
        """Show the page that the address names."""
        search = address.parameter(self, "search")
        if search != self.search:
            self.search, self.search_field = search, self.search_field + 1
        await _show(self, address.parameter(self, "page"))

    @rx.event
    async def search_for(self, typed: str) -> Any:
        """Search as somebody types; the address follows without a step for each letter."""
        self.search = str(typed).strip()[:200]
        await _show(self, "")
        here = address.link("/customers", search=self.search)
        return rx.call_script(f"tallybook.replaceAddress({json.dumps(here)})")


async def _show(state: CustomersState, trail: str) -> None:
    async with loading(state):
        page, owed = await call(state, _read, state.search, address.cursor_of(trail))
        state.rows = [_row(customer, owed.get(customer.customer_id)) for customer in page.items]
        ahead = address.further(trail, page.next_cursor)
        state.next_href = address.link("/customers", search=state.search, page=ahead) if ahead else ""
        state.previous_href = (
            address.link("/customers", search=state.search, page=address.back(trail)) if trail else ""
        )


def _read(session: Any, actor: Any, search: str, cursor: str | None) -> Any:
    page = customers.list_customers(
        session, actor, search=search or None, status=None, plan=None, limit=ROWS, cursor=cursor
    )
    owed = reports.outstanding_by_customer(session, actor, [each.customer_id for each in page.items])
    return page, owed


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
