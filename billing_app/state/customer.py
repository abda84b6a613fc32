"""One customer and its invoices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import reflex as rx

from billing_app.services import customers, invoices, reports
from billing_app.state import address, text
from billing_app.state.errors import LOADING, loading
from billing_app.state.rows.customers import CustomerHeader
from billing_app.state.rows.invoices import InvoiceItem
from billing_app.state.session import call

ROWS = 25


class CustomerState(rx.State):
    """A customer's header and a page of its invoices."""

    phase: str = LOADING
    problem: str = ""
    key: str = ""
    customer: CustomerHeader = CustomerHeader()
    rows: rx.Field[list[InvoiceItem]] = rx.field(default_factory=list)
    next_href: str = ""
    previous_href: str = ""

    @rx.event
    async def load(self) -> AsyncIterator[None]:
        """Show the customer and the page of invoices that the address names."""
        key, trail = address.segment(self, 1), address.parameter(self, "page")
        if key != self.key:
            # Never one customer's figures under another's address.
            self.key, self.phase, self.rows, self.customer = key, LOADING, [], CustomerHeader()
            yield
        async with loading(self):
            customer, page, owed = await call(self, _read, key, address.cursor_of(trail))
            path = f"/customers/{customer.key}"
            self.customer = _header(customer, owed)
            self.rows = [invoice_item(invoice) for invoice in page.items]
            ahead = address.further(trail, page.next_cursor)
            self.next_href = address.link(path, page=ahead) if ahead else ""
            self.previous_href = address.link(path, page=address.back(trail)) if trail else ""


def _read(session: Any, actor: Any, key: str, cursor: str | None) -> Any:
    customer = customers.get_customer(session, actor, key)
    page = invoices.list_invoices(
        session, actor, customer=customer.key, period=None, status=None, limit=ROWS, cursor=cursor
    )
    owed = reports.outstanding_by_customer(session, actor, [customer.customer_id])
    return customer, page, owed.get(customer.customer_id, 0)


def _header(customer: customers.CustomerRow, outstanding_minor: int) -> CustomerHeader:
    return CustomerHeader(
        name=customer.name,
        key=customer.key,
        email=customer.email,
        address=customer.billing_address,
        plan=text.plan(customer.plan_name, customer.plan_version),
        status=customer.status,
        currency=customer.currency,
        since=text.day(customer.created_at.date()),
        outstanding=text.money(outstanding_minor, customer.currency),
        owes=bool(outstanding_minor),
    )


def invoice_item(invoice: invoices.InvoiceRow) -> InvoiceItem:
    """A row of any list of invoices."""
    return InvoiceItem(
        href=address.link(f"/invoices/{invoice.number}"),
        number=invoice.number,
        period=text.month(invoice.period_start),
        total=text.money(invoice.total_minor, invoice.currency),
        balance=text.money(invoice.balance_minor, invoice.currency),
        due=text.day(invoice.due_on),
        status=invoice.payment_status,
    )
