"""One customer: its usage, upcoming invoice, invoices, plans and audit entries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from datetime import date
from typing import NamedTuple
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.database.session import now
from billing_app.domain.actor import Actor
from billing_app.domain.subscription import in_effect
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
from billing_app.services.usage.unpriced import find_unpriced
from billing_app.state.kit import address, text
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.lists import Pages
from billing_app.state.kit.metering import read_meter_names
from billing_app.state.kit.session import Session, call, viewer_zone
from billing_app.state.pages.customer_adjustments import (
    AdjustmentsRead,
    Trails,
    pages_of,
    present_adjustments,
    read_adjustments,
    read_trails,
)
from billing_app.state.pages.customer_usage import present_usage
from billing_app.state.presenters import audit_entries
from billing_app.state.presenters.adjustments import Adjustments
from billing_app.state.presenters.customers import (
    AuditItem,
    CustomerHeader,
    PlanFromItem,
    Preview,
    UsageMonth,
)
from billing_app.state.presenters.invoices import InvoiceItem, LineItem, invoice_item, line_item
from billing_app.state.presenters.usage import UsageItem, usage_item
from billing_app.wording.prices import describe_plan

ROWS = 12
EVENTS = 8
AUDIT_ENTRIES = 8
PLANS_MAX = 50


class CustomerState(rx.State):
    """A customer with one page of its invoices and its latest usage, plans and audit entries."""

    phase: str = LOADING
    problem: str = ""
    key: str = ""
    customer: CustomerHeader = CustomerHeader()
    usage: UsageMonth = UsageMonth()
    preview: Preview = Preview()
    lines: rx.Field[list[LineItem]] = rx.field(default_factory=list)
    due: str = ""
    rows: rx.Field[list[InvoiceItem]] = rx.field(default_factory=list)
    pages: Pages = Pages()
    events: rx.Field[list[UsageItem]] = rx.field(default_factory=list)
    history: rx.Field[list[PlanFromItem]] = rx.field(default_factory=list)
    audit: rx.Field[list[AuditItem]] = rx.field(default_factory=list)
    adjustments: Adjustments = Adjustments()
    zone: str = ""

    @rx.event
    async def load(self) -> AsyncIterator[None]:
        """Show the customer and the page of invoices in the address."""
        key, trails = address.path_segment(self, 1), read_trails(self)
        if key != self.key:
            # One customer's figures must never be shown at another customer's address.
            self.key, self.phase, self.rows, self.customer = key, LOADING, [], CustomerHeader()
            yield
        async with loading(self):
            read = await call(self, _read, key, trails)
            _show(self, read, trails, viewer_zone(self))


class _Read(NamedTuple):
    """What the page shows, read in one transaction."""

    customer: CustomerRow
    plan: PlanRow | None
    today: date
    invoices: Page[InvoiceRow]
    due: date | None
    usage: usage_days.MonthlyUsage
    preview: previews.InvoicePreview | None
    events: tuple[UsageEventRow, ...]
    unpriced: set[tuple[int, str]]
    meters: dict[str, str]
    history: tuple[SubscriptionRow, ...]
    audit_entries: tuple[audit_log.AuditRow, ...]
    names: dict[str, Named]
    adjustments: AdjustmentsRead


def _read(session: Session, actor: Actor, key: str, trails: Trails) -> _Read:
    customer = customers.get_customer(session, actor, key)
    key = customer.key
    entries = audit_log.list_audit_entries(
        session, actor, subject=customer.public_id, limit=AUDIT_ENTRIES
    ).items
    events = usage_log.list_usage(session, actor, UsageFilter(customer=key), limit=EVENTS).items
    return _Read(
        customer=customer,
        plan=plans.get_plan(session, actor, customer.plan_id) if customer.plan_id else None,
        today=now(session).date(),
        invoices=invoices.list_invoices(
            session, actor, InvoiceFilter(customer=key), limit=ROWS, cursor=address.cursor_of(trails.page)
        ),
        due=closing.find_due_period(session, actor, key),
        usage=usage_days.get_monthly_usage(session, actor, key),
        preview=_preview(session, actor, key),
        events=events,
        unpriced=find_unpriced(session, actor, events),
        meters=read_meter_names(session, actor),
        history=subscriptions.list_subscriptions(session, actor, key),
        audit_entries=entries,
        names=audit_names.find_names(session, actor, audit_entries.find_ids(entries)),
        adjustments=read_adjustments(session, actor, key, trails),
    )


def _preview(session: Session, actor: Actor, key: str) -> previews.InvoicePreview | None:
    """Return the upcoming invoice. None if the month is already invoiced, because the clock was set back."""
    try:
        return previews.preview_invoice(session, actor, key)
    except Conflict:
        return None


def _show(state: CustomerState, read: _Read, trails: Trails, zone: ZoneInfo) -> None:
    key = read.customer.key
    state.zone = str(zone)
    state.customer = _header(read, zone)
    state.usage = present_usage(read.usage, trails.meter, read.today)
    state.preview, state.lines = _upcoming(read.preview, zone)
    state.due = text.month(read.due) if read.due else ""
    state.adjustments = present_adjustments(read.adjustments, key, trails, zone)
    state.pages = pages_of(key, trails, "page", read.invoices.next_cursor)
    state.rows = [invoice_item(invoice) for invoice in read.invoices.items]
    state.events = [usage_item(event, zone, {}, read.unpriced, read.meters) for event in read.events]
    state.history = _history(read.history, read.today)
    state.audit = [_audit_entry(each, read.names, zone) for each in read.audit_entries]


def _audit_entry(row: audit_log.AuditRow, names: dict[str, Named], zone: ZoneInfo) -> AuditItem:
    return AuditItem(
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
        plan=text.plan(customer.plan_name, customer.plan_version) if customer.plan_id else "No plan today",
        terms=describe_plan(read.plan.terms) if read.plan else "",
        status=customer.status,
        currency=customer.currency,
        since=text.day(customer.created_at.astimezone(zone).date()),
        outstanding=text.money(customer.outstanding_minor, customer.currency),
        owes=bool(customer.outstanding_minor),
        usage_href=address.link("/usage", customer=customer.key),
        audit_href=address.link("/audit", subject=customer.public_id),
    )


def _upcoming(preview: previews.InvoicePreview | None, zone: ZoneInfo) -> tuple[Preview, list[LineItem]]:
    if preview is None:
        return Preview(), []
    shown = Preview(
        period=text.month(preview.period_start),
        total=text.money(preview.total_minor, preview.currency),
        credit=text.money(-preview.credit_applied_minor, preview.currency)
        if preview.credit_applied_minor
        else "",
        due=text.money(preview.due_minor, preview.currency),
        as_of=text.timestamp(preview.as_of, zone),
        as_of_utc=text.timestamp_utc(preview.as_of),
    )
    return shown, [line_item(place, line, preview.currency) for place, line in enumerate(preview.lines, 1)]


def _history(rows: Iterable[SubscriptionRow], today: date) -> list[PlanFromItem]:
    """Return the newest first, marking the plan in effect."""
    newest_first = sorted(rows, key=lambda row: row.effective_from, reverse=True)
    current = in_effect(newest_first, today)
    return [
        PlanFromItem(
            since=text.day(row.effective_from),
            plan=text.plan(row.plan_name, row.plan_version) if row.plan_id else "Cancelled",
            when="now" if row is current else "planned" if row.effective_from > today else "",
        )
        for row in newest_first
    ][:PLANS_MAX]
