"""One invoice with its arithmetic, its payments, and the usage behind each line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import reflex as rx

from billing_app.domain.actor import Actor
from billing_app.domain.periods import next_period
from billing_app.services.adjustments.credit import get_credit
from billing_app.services.audit.names import Named, find_names
from billing_app.services.invoices import invoices
from billing_app.services.invoices.line_usage import (
    list_invoice_corrections,
    list_invoice_events,
    sum_usage_per_day,
)
from billing_app.services.invoices.navigation import get_neighbours
from billing_app.services.invoices.rows import InvoiceDetail, Neighbours
from billing_app.services.payments import payments
from billing_app.services.payments.rows import PaymentRow
from billing_app.services.shared.pagination import Page
from billing_app.state.kit import address, text
from billing_app.state.kit.browser import run_in_browser
from billing_app.state.kit.charts import point
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.lists import Pages, parse_listing
from billing_app.state.kit.session import Session, call, viewer_zone
from billing_app.state.presenters.invoices import (
    CorrectionItem,
    EventItem,
    InvoiceSheet,
    LineItem,
    PaymentItem,
    correction_item,
    event_item,
    invoice_sheet,
    line_item,
    payment_item,
)

EVENTS = 20
PAYMENTS = 20
CLOSED = 0
_LINE_NUMBER_DIGITS = 5


class InvoiceState(rx.State):
    """The invoice, with at most one line opened to a page of its events."""

    phase: str = LOADING
    problem: str = ""
    number: str = ""
    invoice: InvoiceSheet = InvoiceSheet()
    lines: rx.Field[list[LineItem]] = rx.field(default_factory=list)
    payments: rx.Field[list[PaymentItem]] = rx.field(default_factory=list)
    can_apply_credit: bool = False
    payment_pages: Pages = Pages()
    has_all_payments: bool = True

    open_line: int = CLOSED
    days: rx.Field[list[dict[str, Any]]] = rx.field(default_factory=list)
    busiest_day: str = ""
    events: rx.Field[list[EventItem]] = rx.field(default_factory=list)
    corrections: rx.Field[list[CorrectionItem]] = rx.field(default_factory=list)
    zone: str = ""
    _trail: str = ""
    _next_trail: str = ""
    has_next: bool = False
    has_previous: bool = False
    _corrections_trail: str = ""
    _next_corrections_trail: str = ""
    has_next_corrections: bool = False
    has_previous_corrections: bool = False

    @rx.event
    async def load(self) -> AsyncIterator[None]:
        """Show the invoice in the address, with the line in the address opened."""
        number = address.path_segment(self, 1)
        if number != self.number:
            self.number, self.phase, self.invoice = number, LOADING, InvoiceSheet()
            self.lines, self.payments, self.can_apply_credit = [], [], False
        _close_line(self)
        yield
        async with loading(self):
            listing = parse_listing(self, f"/invoices/{number}", "line")
            read = await call(self, _read, number, listing.cursor)
            self.invoice = invoice_sheet(read.invoice, read.neighbours)
            self.lines = [
                line_item(line_number, line, read.invoice.currency)
                for line_number, line in enumerate(read.invoice.lines, 1)
            ]
            self.can_apply_credit = bool(read.credit_minor and read.invoice.balance_minor)
            zone = viewer_zone(self)
            self.payments = [
                payment_item(payment, read.names, zone) for payment in reversed(read.payments.items)
            ]
            self.payment_pages = listing.pages(read.payments.next_cursor)
            self.has_all_payments = self.payment_pages == Pages()
            line_number = _parse_line_number(address.query_parameter(self, "line"))
            if any(line.number == line_number and line.has_usage for line in self.lines):
                await _open_line(self, line_number)

    @rx.event
    async def toggle(self, line: int) -> Any:
        """Open a line to its usage, or close it, and put it into the address."""
        line_number = _parse_line_number(line)
        if line_number in (self.open_line, CLOSED):
            _close_line(self)
        else:
            await _open_line(self, line_number)
        shown = str(self.open_line) if self.open_line else ""
        return run_in_browser("replaceAddress", address.link(f"/invoices/{self.number}", line=shown))

    @rx.event
    async def next_events(self) -> None:
        """Show the next page of the open line's events."""
        if self.open_line and self._next_trail:
            await _show_events(self, self._next_trail)

    @rx.event
    async def previous_events(self) -> None:
        """Show the previous page of the open line's events."""
        if self.open_line and self._trail:
            await _show_events(self, address.previous_trail(self._trail))

    @rx.event
    async def next_corrections(self) -> None:
        """Show the next page of the open line's corrections."""
        if self.open_line and self._next_corrections_trail:
            await _show_corrections(self, self._next_corrections_trail)

    @rx.event
    async def previous_corrections(self) -> None:
        """Show the previous page of the open line's corrections."""
        if self.open_line and self._corrections_trail:
            await _show_corrections(self, address.previous_trail(self._corrections_trail))


def _parse_line_number(value: object) -> int:
    """Return the line number that a browser sent, or CLOSED if it is not one."""
    digits = str(value)
    is_number = digits.isascii() and digits.isdigit() and len(digits) <= _LINE_NUMBER_DIGITS
    return int(digits) if is_number else CLOSED


class _Read(NamedTuple):
    """What the page shows, read in one transaction."""

    invoice: InvoiceDetail
    neighbours: Neighbours
    payments: Page[PaymentRow]
    credit_minor: int
    names: dict[str, Named]
    """The names of the users who recorded or reversed the payments, by id."""


def _read(session: Session, actor: Actor, number: str, cursor: str | None) -> _Read:
    page = payments.list_payments(session, actor, number, limit=PAYMENTS, cursor=cursor)
    ids = {payment.recorded_by for payment in page.items}
    ids |= {payment.reversed_by for payment in page.items if payment.reversed_by}
    invoice = invoices.get_invoice(session, actor, number)
    return _Read(
        invoice=invoice,
        neighbours=get_neighbours(session, actor, number),
        payments=page,
        credit_minor=get_credit(session, actor, invoice.customer_public_id).amount_minor,
        names=find_names(session, actor, ids),
    )


def _close_line(state: InvoiceState) -> None:
    state.open_line, state.days, state.events, state.corrections = CLOSED, [], [], []


async def _open_line(state: InvoiceState, line_number: int) -> None:
    state.days, state.busiest_day = await call(state, _read_days, state.number, line_number)
    state.open_line = line_number
    await _show_events(state, "")
    await _show_corrections(state, "")


async def _show_events(state: InvoiceState, trail: str) -> None:
    page = await call(
        state,
        list_invoice_events,
        state.number,
        line_number=state.open_line,
        limit=EVENTS,
        cursor=address.cursor_of(trail),
    )
    zone = viewer_zone(state)
    state.zone = str(zone)
    state.events = [event_item(event, zone) for event in page.items]
    state._trail, state._next_trail = trail, address.next_trail(trail, page.next_cursor)
    state.has_next, state.has_previous = bool(state._next_trail), bool(trail)


async def _show_corrections(state: InvoiceState, trail: str) -> None:
    page = await call(
        state,
        list_invoice_corrections,
        state.number,
        line_number=state.open_line,
        limit=EVENTS,
        cursor=address.cursor_of(trail),
    )
    zone, next_trail = viewer_zone(state), address.next_trail(trail, page.next_cursor)
    state.corrections = [correction_item(each, zone) for each in page.items]
    state._corrections_trail, state._next_corrections_trail = trail, next_trail
    state.has_next_corrections, state.has_previous_corrections = bool(next_trail), bool(trail)


def _read_days(
    session: Session, actor: Actor, number: str, line_number: int
) -> tuple[list[dict[str, Any]], str]:
    """Return a point for every day of the line's usage month, and a caption for the busiest day."""
    quantities = {
        usage.day: usage.quantity for usage in sum_usage_per_day(session, actor, number, line_number)
    }
    line = invoices.get_invoice(session, actor, number).lines[line_number - 1]
    month = line.usage_period
    if month is None or not quantities:
        return [], ""
    busiest = max(quantities, key=quantities.__getitem__)
    units = text.counted(quantities[busiest], line.meter_unit or "unit")
    # A line that bills corrections alone may have no day above zero.
    caption = f"Highest on {text.day(busiest)}: {units}" if quantities[busiest] > 0 else ""
    return [_day_point(day, quantities.get(day, Decimal(0))) for day in _days_of(month)], caption


def _days_of(month: date) -> list[date]:
    return [month + timedelta(days=number) for number in range((next_period(month) - month).days)]


def _day_point(day: date, quantity: Decimal) -> dict[str, Any]:
    return point(text.day_of_month(day), units=(quantity, text.quantity(quantity)))
