"""One invoice: its arithmetic, and what each line was made of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.documents.arithmetic import sentences, title
from billing_app.domain.periods import next_period
from billing_app.domain.rating import Line
from billing_app.services.audit.names import Named, find_names
from billing_app.services.invoices import invoices
from billing_app.services.invoices.navigation import Neighbours, get_neighbours
from billing_app.services.payments import payments
from billing_app.services.payments.queries import PaymentRow
from billing_app.services.shared.pagination import Page
from billing_app.services.usage.rows import UsageEventRow
from billing_app.state.kit import address, text
from billing_app.state.kit.browser import run_in_browser
from billing_app.state.kit.charts import point
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.lists import Pages, parse_listing
from billing_app.state.kit.session import call, viewer_zone
from billing_app.state.presenters.audit_entries import describe_actor_id
from billing_app.state.presenters.invoices import EventItem, InvoiceSheet, LineItem, PaymentItem

EVENTS = 20
PAYMENTS = 20
CLOSED = 0


class InvoiceState(rx.State):
    """The sheet, and at most one line opened to a page of its events."""

    phase: str = LOADING
    problem: str = ""
    number: str = ""
    invoice: InvoiceSheet = InvoiceSheet()
    lines: rx.Field[list[LineItem]] = rx.field(default_factory=list)
    payments: rx.Field[list[PaymentItem]] = rx.field(default_factory=list)
    payment_pages: Pages = Pages()
    all_payments: bool = True

    open_line: int = CLOSED
    days: rx.Field[list[dict[str, Any]]] = rx.field(default_factory=list)
    busiest_day: str = ""
    events: rx.Field[list[EventItem]] = rx.field(default_factory=list)
    zone: str = ""
    _trail: str = ""
    _next_trail: str = ""
    has_next: bool = False
    has_previous: bool = False

    @rx.event
    async def load(self) -> AsyncIterator[None]:
        """Show the invoice that the address names, opened at the line that it names."""
        number = address.path_segment(self, 1)
        if number != self.number:
            self.number, self.phase, self.invoice = number, LOADING, InvoiceSheet()
            self.lines, self.payments = [], []
        self.open_line, self.days, self.events = CLOSED, [], []
        yield
        async with loading(self):
            listing = parse_listing(self, f"/invoices/{number}", "line")
            found, around, received, names = await call(self, _read, number, listing.cursor)
            self.invoice = _sheet(found, around)
            self.lines = [line_item(place, line, found.currency) for place, line in enumerate(found.lines, 1)]
            _show_payments(self, received, names)
            self.payment_pages = listing.pages(received.next_cursor)
            self.all_payments = self.payment_pages == Pages()
            opened = _line_number(address.query_parameter(self, "line"))
            if any(line.number == opened and line.has_usage for line in self.lines):
                await _open(self, opened)

    @rx.event
    async def toggle(self, line: int) -> Any:
        """Open a line to its usage, or close it; the address follows."""
        chosen = _line_number(line)
        if chosen == self.open_line or chosen == CLOSED:
            self.open_line, self.days, self.events = CLOSED, [], []
        else:
            await _open(self, chosen)
        shown = str(self.open_line) if self.open_line else ""
        here = address.link(f"/invoices/{self.number}", line=shown)
        return run_in_browser("replaceAddress", here)

    @rx.event
    async def next_events(self) -> None:
        """The following page of the open line's events."""
        if self.open_line and self._next_trail:
            await _show_events(self, self._next_trail)

    @rx.event
    async def previous_events(self) -> None:
        """The page of the open line's events before this one."""
        if self.open_line and self._trail:
            await _show_events(self, address.previous_trail(self._trail))


def _line_number(value: object) -> int:
    # From a browser: anything at all.
    text_value = str(value)
    return (
        int(text_value) if text_value.isascii() and text_value.isdigit() and len(text_value) < 6 else CLOSED
    )


def _read(session: Any, actor: Any, number: str, cursor: str | None) -> Any:
    invoice = invoices.get_invoice(session, actor, number)
    around = get_neighbours(session, actor, number)
    received = payments.list_payments(session, actor, number, limit=PAYMENTS, cursor=cursor)
    ids = {each.recorded_by for each in received.items} | {each.reversed_by or "" for each in received.items}
    return invoice, around, received, find_names(session, actor, ids)


def _show_payments(state: InvoiceState, received: Page[PaymentRow], names: dict[str, Named]) -> None:
    zone = viewer_zone(state)
    state.payments = [_payment(each, names, zone) for each in reversed(received.items)]


async def _open(state: InvoiceState, line: int) -> None:
    month, used = await call(state, _read_days, state.number, line)
    state.days, state.busiest_day = _days(month, used)
    state.open_line = line
    await _show_events(state, "")


def _read_days(session: Any, actor: Any, number: str, line: int) -> Any:
    used = invoices.usage_per_day(session, actor, number, line)
    month = invoices.get_invoice(session, actor, number).lines[line - 1].usage_period
    return month, {each.day: each.quantity for each in used}


async def _show_events(state: InvoiceState, trail: str) -> None:
    page = await call(
        state,
        invoices.list_invoice_events,
        state.number,
        line_number=state.open_line,
        limit=EVENTS,
        cursor=address.cursor_of(trail),
    )
    zone = viewer_zone(state)
    state.zone = str(zone)
    state.events = [_event(event, zone) for event in page.items]
    state._trail, state._next_trail = trail, address.next_trail(trail, page.next_cursor)
    state.has_next, state.has_previous = bool(state._next_trail), bool(trail)


def _sheet(invoice: invoices.InvoiceDetail, around: Neighbours) -> InvoiceSheet:
    currency = invoice.currency
    return InvoiceSheet(
        number=invoice.number,
        period=text.month(invoice.period_start),
        issued=text.day(invoice.issued_at.date()),
        due=text.day(invoice.due_on),
        status=invoice.payment_status,
        currency=currency,
        issuer_name=invoice.issuer.name,
        issuer_address=invoice.issuer.address,
        issuer_email=invoice.issuer.email,
        payment_instructions=invoice.issuer.payment_instructions,
        customer_name=invoice.customer.name,
        customer_href=address.link(f"/customers/{invoice.customer.key}"),
        customer_email=invoice.customer.email,
        customer_address=invoice.customer.billing_address,
        total=text.money(invoice.total_minor, currency),
        paid=text.money(-invoice.paid_minor, currency),
        balance=text.money(invoice.balance_minor, currency),
        content_sha256=invoice.content_sha256,
        previous_sha256=invoice.previous_sha256 or "",
        chain_ok=invoice.chain_ok,
        pdf_href=address.link(f"/api/v1/invoices/{invoice.number}.pdf"),
        previous_number=around.previous or "",
        previous_href=address.link(f"/invoices/{around.previous}") if around.previous else "",
        next_number=around.following or "",
        next_href=address.link(f"/invoices/{around.following}") if around.following else "",
    )


def line_item(place: int, line: Line, currency: str) -> LineItem:
    """A line with its arithmetic in words, at its place."""
    return LineItem(
        number=place,
        title=title(line),
        plan=text.plan(line.plan_name, line.plan_version),
        is_late=line.kind == "late_usage",
        has_usage=bool(line.quantity),
        quantity="" if line.quantity is None else text.quantity(line.quantity),
        unit_price="" if line.unit_price is None else text.exact_money(line.unit_price, currency),
        amount=text.money(line.amount_minor, currency),
        arithmetic=sentences(line, currency),
    )


def _payment(payment: PaymentRow, names: dict[str, Named], zone: ZoneInfo) -> PaymentItem:
    undone, by = payment.reversed_at, payment.reversed_by or ""
    return PaymentItem(
        payment_id=payment.payment_id,
        received=text.day(payment.received_on),
        recorded=text.timestamp(payment.recorded_at, zone),
        recorded_utc=text.timestamp_utc(payment.recorded_at),
        recorded_by=describe_actor_id(payment.recorded_by, payment.recorded_by, names).name,
        reversed=text.timestamp(undone, zone) if undone else "",
        reversed_utc=text.timestamp_utc(undone) if undone else "",
        reversed_by=describe_actor_id(by, by, names).name,
        method=payment.method,
        reference=payment.reference,
        amount=text.money(payment.amount_minor, payment.currency),
        reversed_because=payment.reversal_reason or "",
    )


def _days(month: date | None, used: dict[date, Decimal]) -> tuple[list[dict[str, Any]], str]:
    """Every day of the usage month, and which was the busiest."""
    if month is None or not used:
        return [], ""
    busiest = max(used, key=lambda day: used[day])
    days = [month + timedelta(days=each) for each in range((next_period(month) - month).days)]
    quantities = [used.get(day, Decimal(0)) for day in days]
    points = [
        point(text.day_of_month(day), units=(quantity, text.quantity(quantity)))
        for day, quantity in zip(days, quantities, strict=True)
    ]
    return points, f"Most on {text.day(busiest)}: {text.quantity(used[busiest])}"


def _event(event: UsageEventRow, zone: ZoneInfo) -> EventItem:
    return EventItem(
        occurred=text.timestamp(event.occurred_at, zone),
        occurred_utc=text.timestamp_utc(event.occurred_at),
        recorded=text.timestamp(event.recorded_at, zone),
        recorded_utc=text.timestamp_utc(event.recorded_at),
        key=event.idempotency_key,
        quantity=text.quantity(event.quantity),
        recorded_by=event.recorded_by,
    )
