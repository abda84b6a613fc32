"""The log of usage: what was used, when, by whom, and where it is billed; and recording one by hand."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import reflex as rx

from billing_app.domain.periods import label, next_period, parse_period, period_of, periods_between
from billing_app.errors import Conflict, FieldError, NotFound
from billing_app.services.customers import customers
from billing_app.services.customers.rows import CustomerRow
from billing_app.services.shared.pagination import Page
from billing_app.services.usage import log as usage_log
from billing_app.services.usage.billing import BilledOn, billed_on
from billing_app.services.usage.filters import UsageFilter
from billing_app.services.usage.recording import RecordedUsage, UsageEventRow, UsageReport, record_usage
from billing_app.services.usage_imports import imports
from billing_app.services.usage_imports.imports import UsageImportRow
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
from billing_app.state.kit.naming import customer_meant, customers_fitting
from billing_app.state.kit.session import call, viewer_zone
from billing_app.state.pages.usage_imports import UNDER_WAY, import_item
from billing_app.state.presenters.usage import ImportItem, UsageItem

ROWS = 50
MONTHS_MAX = 120
# Imports that are looked through for some that wait for somebody.
RECENT_IMPORTS = 10
RECORD = "record-usage"
LATE = "true"
MONTH_FILTERS = ("period", "billing_period")


class UsageState(rx.State):
    """A page of events, the newest first, and how many there are in all."""

    phase: str = LOADING
    problem: str = ""
    rows: rx.Field[list[UsageItem]] = rx.field(default_factory=list)
    pages: Pages = Pages()
    count: str = ""
    months: rx.Field[list[Option]] = rx.field(default_factory=list)
    is_filtered: bool = False
    is_late_only: bool = False
    all_href: str = "/usage"
    late_href: str = "/usage"
    csv_href: str = ""
    # When what is typed names no customer, those that it may mean.
    meant: rx.Field[list[Option]] = rx.field(default_factory=list)
    is_nobody: bool = False
    waiting: rx.Field[list[ImportItem]] = rx.field(default_factory=list)
    zone: str = ""
    form: Form = Form()
    _customer: str = ""

    @rx.event
    async def load(self) -> None:
        """Show the page of events that the address asks for."""
        listing = parse_listing(self, "/usage", "customer", *MONTH_FILTERS, "late")
        self.is_filtered, self.is_late_only = listing.is_filtered, listing.filters["late"] == LATE
        self.all_href, self.late_href = listing.href(late=""), listing.href(late=LATE)
        async with loading(self):
            read = await call(self, _read, listing)
            zone = viewer_zone(self)
            self.zone = _zone_words(zone)
            self.rows = [_item(event, read.billed_on, zone) for event in read.events.items]
            self.pages = listing.pages(read.events.next_cursor)
            self.count = _counted(read.counted)
            self.months = _months(read.months, listing)
            self.meant = [
                Option(listing.href(customer=each.key), f"{each.name} ({each.key})") for each in read.meant
            ]
            self.is_nobody = read.is_nobody
            self.waiting = [import_item(each, zone) for each in read.imports if each.status in UNDER_WAY]
            self._customer = read.customer
            self.csv_href = address.link(
                "/api/v1/usage.csv", **{**listing.filters, "customer": read.customer}
            )

    @rx.event
    async def open_record(self) -> Any:
        """Open the dialog for one event, of the customer whose usage is shown if it is one's."""
        self.zone = _zone_words(viewer_zone(self))
        start = {"customer": self._customer, "quantity": "", "occurred_at": "", "idempotency_key": new_key()}
        return open_dialog(self, RECORD, "Record usage", start=start)

    @rx.event
    async def record(self, form: dict[str, Any]) -> Any:
        """Record one event, once for its key."""
        async with submitting(self, form) as submission:
            moment = read_timestamp(form, "occurred_at", viewer_zone(self))
            key, quantity = read_text(form, "idempotency_key"), read_text(form, "quantity").strip()
            named = read_text(form, "customer").strip()
            done = await call(self, _record, named, key, quantity, moment)
            submission.succeed(_said(done), UsageState.load)
        return submission.events


class _Read(NamedTuple):
    """What the page shows, read in one transaction."""

    events: Page[UsageEventRow]
    billed_on: dict[tuple[str, date], BilledOn]
    counted: usage_log.Count
    months: usage_log.Months | None
    imports: tuple[UsageImportRow, ...]
    customer: str
    meant: tuple[CustomerRow, ...]
    is_nobody: bool


def _read(session: Any, actor: Any, listing: Listing) -> _Read:
    months = usage_log.usage_months(session, actor)
    recent = imports.list_imports(session, actor, limit=RECENT_IMPORTS).items
    used_in, billed_in = (
        read_period(listing.filters, name) if listing.get(name) else None for name in MONTH_FILTERS
    )
    customer, meant = _chosen(session, actor, listing.get("customer"))
    if listing.get("customer") and not customer:
        nothing: Page[UsageEventRow] = Page((), None)
        return _Read(nothing, {}, usage_log.Count(0, False), months, recent, "", meant, True)
    wanted = UsageFilter(customer or None, used_in, billed_in, late_only=listing.get("late") == LATE)
    events = usage_log.list_usage(session, actor, wanted, limit=ROWS, cursor=listing.cursor)
    counted = usage_log.count_usage(session, actor, wanted)
    return _Read(
        events, billed_on(session, actor, events.items), counted, months, recent, customer, (), False
    )


def _chosen(session: Any, actor: Any, wanted: str | None) -> tuple[str, tuple[CustomerRow, ...]]:
    """The key of the customer that is meant; none, and who may be, when that is not only one."""
    if not wanted:
        return "", ()
    try:
        return customers.get_customer(session, actor, wanted).key, ()
    except NotFound:
        found = customers_fitting(session, actor, wanted)
        return (found[0].key, ()) if len(found) == 1 else ("", found)


def _record(
    session: Any, actor: Any, named: str, key: str, quantity: str, moment: datetime | None
) -> tuple[RecordedUsage, str]:
    """The answer, and the customer's name."""
    customer = customer_meant(session, actor, named)
    try:
        done = record_usage(session, actor, UsageReport(customer.key, key, quantity, moment))
    except Conflict as refusal:
        if refusal.code == "idempotency_conflict":
            refusal.errors = (FieldError("idempotency_key", "used_before_by", {"customer": customer.name}),)
        raise
    return done, customer.name


def _zone_words(zone: ZoneInfo) -> str:
    return str(zone).replace("_", " ")


def _said(answer: tuple[RecordedUsage, str]) -> str:
    done, name = answer
    billed = text.month(done.event.billing_period)
    what = f"{text.quantity(done.event.quantity)} for {name}"
    if done.status == "duplicate":
        return f"{what} was recorded before under this key: nothing is recorded twice. Billed in {billed}"
    return f"{what} is recorded, to be billed in {billed}"


def _counted(count: usage_log.Count) -> str:
    more = "+" if count.more else ""
    return f"{count.number:,}{more} {'event' if count.number == 1 else 'events'}"


def _months(span: usage_log.Months | None, listing: Listing) -> list[Option]:
    """The newest first, with those that are asked for, wherever they lie."""
    found = set(periods_between(span.first, next_period(span.last))) if span else set()
    shown = set(sorted(found)[-MONTHS_MAX:])
    shown |= {parse_period(listing.get(name)) for name in MONTH_FILTERS if listing.get(name)}
    return [Option(label(month), text.month(month)) for month in sorted(shown, reverse=True)]


def _item(event: UsageEventRow, places: dict[tuple[str, date], BilledOn], zone: ZoneInfo) -> UsageItem:
    place = places.get((event.customer, event.billing_period), BilledOn(event.customer, None))
    used_in = period_of(event.occurred_at)
    return UsageItem(
        occurred=text.timestamp(event.occurred_at, zone),
        occurred_utc=text.timestamp_utc(event.occurred_at),
        customer=place.customer_name,
        customer_key=event.customer,
        customer_href=address.link(f"/customers/{event.customer}"),
        key=event.idempotency_key,
        quantity=text.quantity(event.quantity),
        billed_in=text.month(event.billing_period),
        invoice=place.invoice_number or "",
        invoice_href=address.link(f"/invoices/{place.invoice_number}") if place.invoice_number else "",
        is_late=used_in < event.billing_period,
        late_because=f"{text.month(used_in)} was closed when it was reported",
        about=f"{event.idempotency_key}\nRecorded {text.timestamp(event.recorded_at, zone)}"
        f" ({text.timestamp_utc(event.recorded_at)}) by {event.recorded_by}",
    )
