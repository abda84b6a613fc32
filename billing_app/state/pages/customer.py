"""One customer: what it uses, what its next invoice says, and what was invoiced."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.database.session import now
from billing_app.domain.money import EXACT
from billing_app.domain.periods import next_period, period_of
from billing_app.errors import Conflict
from billing_app.services.audit import log as audit_log
from billing_app.services.audit import names as audit_names
from billing_app.services.audit.names import Named
from billing_app.services.customers import customers, subscriptions
from billing_app.services.customers.rows import CustomerRow, SubscriptionRow
from billing_app.services.invoices import closing, invoices, previews
from billing_app.services.invoices.filters import InvoiceFilter
from billing_app.services.invoices.rows import InvoiceRow
from billing_app.services.plans import plans
from billing_app.services.plans.rows import PlanRow
from billing_app.services.shared.pagination import Page
from billing_app.services.usage import days as usage_days
from billing_app.services.usage import log as usage_log
from billing_app.services.usage.filters import UsageFilter
from billing_app.services.usage.rows import UsageEventRow
from billing_app.state.kit import address, text
from billing_app.state.kit.charts import point
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.session import call, viewer_zone
from billing_app.state.presenters import audit_entries
from billing_app.state.presenters.customers import (
    CustomerHeader,
    DeedItem,
    PlanFromItem,
    Preview,
    UsageMonth,
    UsedItem,
)
from billing_app.state.presenters.invoices import InvoiceItem, LineItem, invoice_item, line_item

ROWS = 12
EVENTS = 8
DEEDS = 8


class CustomerState(rx.State):
    """A customer, with a page of its invoices and the newest of its usage, plans and audit."""

    phase: str = LOADING
    problem: str = ""
    key: str = ""
    customer: CustomerHeader = CustomerHeader()
    usage: UsageMonth = UsageMonth()
    preview: Preview = Preview()
    lines: rx.Field[list[LineItem]] = rx.field(default_factory=list)
    due: str = ""
    rows: rx.Field[list[InvoiceItem]] = rx.field(default_factory=list)
    next_href: str = ""
    previous_href: str = ""
    events: rx.Field[list[UsedItem]] = rx.field(default_factory=list)
    history: rx.Field[list[PlanFromItem]] = rx.field(default_factory=list)
    deeds: rx.Field[list[DeedItem]] = rx.field(default_factory=list)
    zone: str = ""

    @rx.event
    async def load(self) -> AsyncIterator[None]:
        """Show the customer and the page of invoices that the address names."""
        key, trail = address.path_segment(self, 1), address.query_parameter(self, "page")
        if key != self.key:
            # Never one customer's figures under another's address.
            self.key, self.phase, self.rows, self.customer = key, LOADING, [], CustomerHeader()
            yield
        async with loading(self):
            read = await call(self, _read, key, address.cursor_of(trail))
            _show(self, read, viewer_zone(self))
            path = f"/customers/{read.customer.key}"
            ahead = address.next_trail(trail, read.invoices.next_cursor)
            self.next_href = address.link(path, page=ahead) if ahead else ""
            self.previous_href = address.link(path, page=address.previous_trail(trail)) if trail else ""


@dataclass(frozen=True)
class _Read:
    customer: CustomerRow
    plan: PlanRow | None
    today: date
    invoices: Page[InvoiceRow]
    due: date | None
    used: usage_days.MonthlyUsage
    preview: previews.InvoicePreview | None
    events: tuple[UsageEventRow, ...]
    history: tuple[SubscriptionRow, ...]
    deeds: tuple[audit_log.AuditRow, ...]
    names: dict[str, Named]


def _read(session: Any, actor: Any, key: str, cursor: str | None) -> _Read:
    """All of it at one moment."""
    customer = customers.get_customer(session, actor, key)
    key = customer.key
    done = audit_log.list_audit_entries(session, actor, subject=customer.public_id, limit=DEEDS).items
    return _Read(
        customer,
        plans.get_plan(session, actor, customer.plan_id) if customer.plan_id else None,
        now(session).date(),
        invoices.list_invoices(session, actor, InvoiceFilter(customer=key), limit=ROWS, cursor=cursor),
        closing.find_due_period(session, actor, key),
        usage_days.get_monthly_usage(session, actor, key),
        _preview(session, actor, key),
        usage_log.list_usage(session, actor, UsageFilter(customer=key), limit=EVENTS).items,
        subscriptions.list_subscriptions(session, actor, key),
        done,
        audit_names.find_names(session, actor, audit_entries.find_ids(done)),
    )


def _preview(session: Any, actor: Any, key: str) -> previews.InvoicePreview | None:
    """None when the month is invoiced already, as it may be behind a clock that was set back."""
    try:
        return previews.preview_invoice(session, actor, key)
    except Conflict:
        return None


def _show(state: CustomerState, read: _Read, zone: ZoneInfo) -> None:
    state.zone = str(zone)
    state.customer = _header(read, zone)
    state.usage = _usage(read.used, read.today)
    state.preview, state.lines = _coming(read.preview, zone)
    state.due = text.month(read.due) if read.due else ""
    state.rows = [invoice_item(invoice) for invoice in read.invoices.items]
    state.events = [_event(event, zone) for event in read.events]
    state.history = _history(read.history, read.used.period_start)
    state.deeds = [_deed(each, read.names, zone) for each in read.deeds]


def _deed(row: audit_log.AuditRow, names: dict[str, Named], zone: ZoneInfo) -> DeedItem:
    return DeedItem(
        at=text.timestamp(row.at, zone),
        at_utc=text.timestamp_utc(row.at),
        who=audit_entries.describe_actor(row, names).name,
        what=audit_entries.describe_action(row.action),
        details=", ".join(
            f"{each.name}: {each.value}" for each in audit_entries.describe_details(row, names)
        ),
    )


def _header(read: _Read, zone: ZoneInfo) -> CustomerHeader:
    customer = read.customer
    return CustomerHeader(
        name=customer.name,
        key=customer.key,
        email=customer.email,
        address=customer.billing_address,
        plan=text.plan(customer.plan_name, customer.plan_version) if customer.plan_id else "None this month",
        terms=_terms(read.plan) if read.plan else "",
        status=customer.status,
        currency=customer.currency,
        since=text.day(customer.created_at.astimezone(zone).date()),
        outstanding=text.money(customer.outstanding_minor, customer.currency),
        owes=bool(customer.outstanding_minor),
        usage_href=address.link("/usage", customer=customer.key),
        audit_href=address.link("/audit", subject=customer.public_id),
    )


def _terms(plan: PlanRow) -> str:
    price = text.money(plan.monthly_price_minor, plan.currency)
    unit = text.exact_money(plan.overage_unit_price, plan.currency)
    return f"{price} a month, {text.quantity(plan.included_units)} included, {unit} beyond"


def _usage(used: usage_days.MonthlyUsage, today: date) -> UsageMonth:
    included = used.included_units
    return UsageMonth(
        period=text.month(used.period_start),
        used=text.quantity(used.quantity),
        caption=_share(used.quantity, included),
        has_plan=included is not None,
        included=float(included or 0),
        included_text=f"{text.quantity(included)} included" if included is not None else "",
        points=list(_points(used, today)),
    )


def _share(used: Decimal, included: Decimal | None) -> str:
    if included is None:
        return "Without a plan this month"
    if used > included:
        beyond = text.quantity(EXACT.subtract(used, included))
        return f"of {text.quantity(included)} included: {beyond} beyond"
    return f"of {text.quantity(included)} included: {text.quantity(EXACT.subtract(included, used))} left"


def _points(used: usage_days.MonthlyUsage, today: date) -> Iterable[dict[str, Any]]:
    """Each day of the month; those to come have no values yet."""
    quantities = {each.day: each.quantity for each in used.days}
    day, total = used.period_start, Decimal(0)
    while day < next_period(used.period_start):
        # An event may be a few minutes ahead, on a day that has not begun.
        if day <= today or day in quantities:
            quantity = quantities.get(day, Decimal(0))
            total = EXACT.add(total, quantity)
            yield point(
                text.day_of_month(day),
                total=(total, text.quantity(total)),
                used=(quantity, text.quantity(quantity)),
            )
        else:
            yield point(text.day_of_month(day))
        day += timedelta(days=1)


def _coming(preview: previews.InvoicePreview | None, zone: ZoneInfo) -> tuple[Preview, list[LineItem]]:
    if preview is None:
        return Preview(), []
    shown = Preview(
        period=text.month(preview.period_start),
        total=text.money(preview.total_minor, preview.currency),
        as_of=text.timestamp(preview.as_of, zone),
        as_of_utc=text.timestamp_utc(preview.as_of),
    )
    return shown, [line_item(place, line, preview.currency) for place, line in enumerate(preview.lines, 1)]


def _event(event: UsageEventRow, zone: ZoneInfo) -> UsedItem:
    return UsedItem(
        occurred=text.timestamp(event.occurred_at, zone),
        occurred_utc=text.timestamp_utc(event.occurred_at),
        key=event.idempotency_key,
        quantity=text.quantity(event.quantity),
        billed_in=text.month(event.billing_period),
        is_late=event.billing_period > period_of(event.occurred_at),
    )


def _history(rows: Iterable[SubscriptionRow], month: date) -> list[PlanFromItem]:
    """The newest first, the present one marked."""
    newest_first = sorted(rows, key=lambda row: row.effective_from, reverse=True)
    present = next((row for row in newest_first if row.effective_from <= month), None)
    return [
        PlanFromItem(
            since=text.month(row.effective_from),
            plan=text.plan(row.plan_name, row.plan_version) if row.plan_id else "Cancelled",
            when="now" if row is present else "planned" if row.effective_from > month else "",
        )
        for row in newest_first
    ][:50]
