"""The usage log: events with their customer and billing period, and recording one event."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.domain.actor import Actor
from billing_app.domain.periods import label, next_period, parse_period, periods_between
from billing_app.errors import Conflict, FieldError, NotFound
from billing_app.services.customers import customers
from billing_app.services.customers.rows import CustomerRow
from billing_app.services.plans import meters
from billing_app.services.plans.meters import MeterRow
from billing_app.services.shared.pagination import Page
from billing_app.services.usage import log as usage_log
from billing_app.services.usage import unpriced as unpriced_usage
from billing_app.services.usage.billing import InvoiceNumbers, find_invoice_numbers
from billing_app.services.usage.filters import UsageFilter
from billing_app.services.usage.log import UsageCount, UsageMonths
from billing_app.services.usage.recording import UsageReport, record_usage
from billing_app.services.usage.rows import UsageEventRow
from billing_app.services.usage_imports import imports
from billing_app.services.usage_imports.rows import UsageImportRow
from billing_app.state.kit import address, text
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.forms import (
    Form,
    new_key,
    open_dialog,
    read_period,
    read_text,
    read_timestamp,
    submitting,
)
from billing_app.state.kit.lists import Listing, Option, Pages, parse_listing
from billing_app.state.kit.metering import (
    MeterFields,
    choose_meter,
    describe_recorded,
    read_report,
    start_fields,
)
from billing_app.state.kit.naming import resolve_customer, search_customers
from billing_app.state.kit.session import Session, call, viewer_zone
from billing_app.state.presenters.usage import UsageItem, usage_item
from billing_app.state.presenters.usage_imports import OPEN_STATUSES, ImportItem, import_item
from billing_app.wording.values import counted

ROWS = 50
MONTHS_MAX = 120
# How many of the latest imports are searched for unfinished ones.
RECENT_IMPORTS = 10
RECORD = "record-usage"
LATE = UNPRICED = "true"
NO_PAGE: Page[UsageEventRow] = Page((), None)
NO_EVENTS = UsageCount(0, has_more=False)
MONTH_FILTERS = ("period", "billing_period")


class UsageState(rx.State):
    """A page of usage events, newest first, and their total number."""

    phase: str = LOADING
    problem: str = ""
    rows: rx.Field[list[UsageItem]] = rx.field(default_factory=list)
    pages: Pages = Pages()
    count: str = ""
    months: rx.Field[list[Option]] = rx.field(default_factory=list)
    # The meters to filter by if there are several, and whether any of them counts items.
    meters: rx.Field[list[Option]] = rx.field(default_factory=list)
    has_items: bool = False
    is_filtered: bool = False
    is_late_only: bool = False
    is_unpriced_only: bool = False
    all_href: str = "/usage"
    late_href: str = "/usage"
    unpriced_href: str = "/usage"
    csv_href: str = ""
    # The customers that match the search if there is not exactly one.
    candidates: rx.Field[list[Option]] = rx.field(default_factory=list)
    is_unknown_customer: bool = False
    open_imports: rx.Field[list[ImportItem]] = rx.field(default_factory=list)
    zone: str = ""
    form: Form = Form()
    fields: MeterFields = MeterFields()
    _customer: str = ""

    @rx.event
    async def load(self) -> None:
        """Show the page of events that the address selects."""
        listing = parse_listing(self, "/usage", "customer", "meter", *MONTH_FILTERS, "late", "unpriced")
        self.is_filtered, self.is_late_only = listing.is_filtered, listing.filters["late"] == LATE
        self.is_unpriced_only = listing.filters["unpriced"] == UNPRICED
        self.all_href, self.late_href, self.unpriced_href = (
            listing.href(late=late, unpriced=unpriced)
            for late, unpriced in (("", ""), (LATE, ""), ("", UNPRICED))
        )
        async with loading(self):
            read = await call(self, _read, listing)
            zone = viewer_zone(self)
            self.zone = _zone_name(zone)
            self.rows = [
                usage_item(event, zone, read.invoice_numbers, read.unpriced, read.meter_names)
                for event in read.events.items
            ]
            self.meters = [Option(code, name) for code, name in read.meter_names.items()]
            self.has_items = read.has_items
            self.pages = listing.pages(read.events.next_cursor)
            self.count = _event_count(read.count)
            self.months = _month_options(read.months, listing)
            self.candidates = [
                Option(listing.href(customer=each.key), f"{each.name} ({each.key})")
                for each in read.candidates
            ]
            self.is_unknown_customer = read.is_unknown_customer
            self.open_imports = [
                import_item(each, zone) for each in read.imports if each.status in OPEN_STATUSES
            ]
            self._customer = read.customer
            self.csv_href = address.link(
                "/api/v1/usage.csv", **{**listing.filters, "customer": read.customer}
            )

    @rx.event
    async def open_record(self) -> Any:
        """Open the dialog that records an event, for the customer whose usage is shown, if any."""
        self.zone = _zone_name(viewer_zone(self))
        found = await call(self, meters.list_all_meters)
        self.fields, values = start_fields(found, address.query_parameter(self, "meter"))
        start = {"customer": self._customer, **values, "occurred_at": "", "idempotency_key": new_key()}
        return open_dialog(self, RECORD, "Record usage", start=start)

    @rx.event
    async def choose_meter(self, code: str) -> None:
        """Show the fields of the selected meter."""
        self.fields = choose_meter(self.fields, str(code))

    @rx.event
    async def record(self, form: dict[str, Any]) -> Any:
        """Record one event. Sending the form again does not record it twice."""
        async with submitting(self, form) as submission:
            occurred_at = read_timestamp(form, "occurred_at", viewer_zone(self))
            report = read_report(self, form, read_text(form, "customer").strip())
            toast = await call(self, _record, report._replace(occurred_at=occurred_at))
            submission.succeed(toast, UsageState.load)
        return submission.events


@dataclass(frozen=True)
class _Read:
    """What the page shows, read in one transaction."""

    months: UsageMonths | None
    imports: tuple[UsageImportRow, ...]
    meters: tuple[MeterRow, ...]
    customer: str = ""
    candidates: tuple[CustomerRow, ...] = ()
    is_unknown_customer: bool = False
    events: Page[UsageEventRow] = NO_PAGE
    count: UsageCount = NO_EVENTS
    invoice_numbers: InvoiceNumbers = field(default_factory=dict)
    unpriced: set[tuple[int, str]] = field(default_factory=set)

    @property
    def meter_names(self) -> dict[str, str]:
        """The names of the meters by code, empty if there is only one."""
        return {each.code: each.name for each in self.meters} if len(self.meters) > 1 else {}

    @property
    def has_items(self) -> bool:
        """Whether any meter counts different items."""
        return any(each.aggregation == "unique" for each in self.meters)


def _read(session: Session, actor: Actor, listing: Listing) -> _Read:
    found = _Read(
        months=usage_log.find_usage_months(session, actor),
        imports=imports.list_imports(session, actor, limit=RECENT_IMPORTS).items,
        meters=meters.list_all_meters(session, actor),
    )
    period, billing_period = (
        read_period(listing.filters, name) if listing.get(name) else None for name in MONTH_FILTERS
    )
    customer, candidates = _find_customer(session, actor, listing.get("customer"))
    if listing.get("customer") and not customer:
        return replace(found, candidates=candidates, is_unknown_customer=True)
    if listing.get("meter") not in (None, *(each.code for each in found.meters)):
        return found
    usage_filter = UsageFilter(
        customer or None,
        period,
        billing_period,
        late_only=listing.get("late") == LATE,
        meter=listing.get("meter"),
        unpriced_only=listing.get("unpriced") == UNPRICED,
    )
    events = usage_log.list_usage(session, actor, usage_filter, limit=ROWS, cursor=listing.cursor)
    return replace(
        found,
        customer=customer,
        events=events,
        count=usage_log.count_usage(session, actor, usage_filter),
        invoice_numbers=find_invoice_numbers(session, actor, events.items),
        unpriced=unpriced_usage.find_unpriced(session, actor, events.items),
    )


def _find_customer(session: Session, actor: Actor, search: str | None) -> tuple[str, tuple[CustomerRow, ...]]:
    """Return the key of the customer in the search, or an empty key and all matching customers."""
    if not search:
        return "", ()
    try:
        return customers.get_customer(session, actor, search).key, ()
    except NotFound:
        found = search_customers(session, actor, search)
        return (found[0].key, ()) if len(found) == 1 else ("", found)


def _record(session: Session, actor: Actor, report: UsageReport) -> str:
    """Record an event and return the toast."""
    customer = resolve_customer(session, actor, str(report.customer))
    try:
        outcome = record_usage(session, actor, report._replace(customer=customer.key))
    except Conflict as refusal:
        if refusal.code == "idempotency_conflict":
            refusal.errors = (FieldError("idempotency_key", "used_before_by", {"customer": customer.name}),)
        raise
    recorded = describe_recorded(session, actor, outcome)
    billed_in = f"billed in {text.month(outcome.event.billing_period)}"
    if outcome.status == "duplicate":
        return f"Already recorded: {recorded} for {customer.name}, {billed_in}"
    return f"{recorded} recorded for {customer.name}, {billed_in}"


def _zone_name(zone: ZoneInfo) -> str:
    return str(zone).replace("_", " ")


def _event_count(count: UsageCount) -> str:
    return f"{count.number:,}+ events" if count.has_more else counted(count.number, "event")


def _month_options(span: UsageMonths | None, listing: Listing) -> list[Option]:
    """Return the newest months with usage, and the selected ones."""
    found = set(periods_between(span.first, next_period(span.last))) if span else set()
    shown = set(sorted(found)[-MONTHS_MAX:])
    shown |= {parse_period(listing.get(name)) for name in MONTH_FILTERS if listing.get(name)}
    return [Option(label(month), text.month(month)) for month in sorted(shown, reverse=True)]
