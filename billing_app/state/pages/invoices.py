"""The list of invoices with its totals, and generating one invoice."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, NamedTuple

import reflex as rx

from billing_app.database.session import now
from billing_app.domain.actor import Actor
from billing_app.domain.invoice import AGES
from billing_app.domain.periods import label, parse_period, period_of, previous_period
from billing_app.errors import Conflict
from billing_app.jobs.invoicing import generate_invoice
from billing_app.services.customers import customers
from billing_app.services.invoices.filters import InvoiceFilter
from billing_app.services.invoices.invoices import NEWEST_FIRST, OLDEST_FIRST, list_invoices
from billing_app.services.invoices.issuer import get_issuer
from billing_app.services.invoices.navigation import list_periods
from billing_app.services.invoices.rows import InvoiceDetail, InvoiceRow
from billing_app.services.invoices.totals import InvoiceTotals, get_totals
from billing_app.services.plans import plans
from billing_app.services.shared import validation
from billing_app.services.shared.pagination import Page
from billing_app.state.kit import address, text
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.forms import Form, open_dialog, perform_once, read_period, read_text, submitting
from billing_app.state.kit.lists import Listing, Option, Pages, Sorting, parse_listing
from billing_app.state.kit.naming import resolve_customer
from billing_app.state.kit.session import Session, call, viewer_zone
from billing_app.state.presenters.invoices import InvoiceItem, TotalItem, invoice_item, total_item
from billing_app.wording.values import PAYMENT_STATUSES

ROWS = 25
MONTHS = 36
GENERATE = "generate-invoice"
FILTERS = ("search", "customer", "period", "status", "age", "currency")
STATUS_OPTIONS = [("outstanding", "Outstanding"), *PAYMENT_STATUSES.items()]
AGE_OPTIONS = [(age.name, text.age(age)) for age in AGES]


class InvoicesState(rx.State):
    """A page of invoices, narrowed by the filters in the address."""

    phase: str = LOADING
    problem: str = ""
    rows: rx.Field[list[InvoiceItem]] = rx.field(default_factory=list)
    pages: Pages = Pages()
    by_period: Sorting = Sorting()
    is_filtered: bool = False
    needs_issuer: bool = False
    currencies: rx.Field[list[Option]] = rx.field(default_factory=list)
    periods: rx.Field[list[Option]] = rx.field(default_factory=list)
    totals: rx.Field[list[TotalItem]] = rx.field(default_factory=list)
    totals_as_of: str = ""
    totals_as_of_utc: str = ""
    customer: str = ""
    all_customers_href: str = ""
    csv_href: str = ""
    form: Form = Form()
    # The older invoice that must be generated first: the customer's key and the period.
    earlier: str = ""
    _earlier: tuple[str, str] = ("", "")
    months: rx.Field[list[Option]] = rx.field(default_factory=list)

    @rx.event
    async def load(self) -> None:
        """Show the page in the address."""
        listing = parse_listing(self, "/invoices", *FILTERS, "sort", "run")
        filters = {name: listing.filters[name] for name in FILTERS}
        self.is_filtered = any(filters.values())
        self.csv_href = address.link("/api/v1/invoices.csv", **filters)
        self.all_customers_href = listing.href(customer="")
        async with loading(self):
            read = await call(self, _read, listing)
            self.rows = [invoice_item(row) for row in read.page.items]
            self.pages = listing.pages(read.page.next_cursor)
            self.by_period = _sorting(listing)
            self.needs_issuer = read.needs_issuer
            self.periods = _with_selected(month_options(read.periods), filters["period"])
            self.currencies = [Option(currency, currency) for currency in read.currencies]
            self.customer = read.customer
            _show_totals(self, read.totals, read.now)

    @rx.event
    async def open_generate(self) -> Any:
        """Open the dialog that generates one invoice."""
        self.months = await call(self, list_ended_months)
        self.earlier = ""
        start = {"customer": "", "period": self.months[0].value}
        return open_dialog(self, GENERATE, "Generate an invoice", start=start)

    @rx.event
    async def generate(self, form: dict[str, Any]) -> Any:
        """Generate the customer's invoice for the month, and show it."""
        async with submitting(self, form) as submission:
            self.earlier = ""
            period = read_period(form, "period")
            customer = await call(self, resolve_customer, read_text(form, "customer"))
            submission.repeated = "Invoice created"
            invoice = await _generate(self, form, customer.key, period)
            submission.succeed(_created(invoice), rx.redirect(address.link(f"/invoices/{invoice.number}")))
        return submission.events

    @rx.event
    async def generate_earlier(self) -> Any:
        """Generate the older invoice that is required first. The dialog stays open for the original one."""
        key, period = self._earlier
        if not key:
            # After a restart, the server no longer knows which invoice it offered.
            return rx.toast.error("Generate the invoice again to see which month must be invoiced first.")
        async with submitting(self, {}) as submission:
            invoice = await _generate(self, {}, key, parse_period(period))
            self.earlier = ""
            submission.events = [*submission.events, rx.toast.success(_created(invoice)), InvoicesState.load]
        return submission.events


async def _generate(state: InvoicesState, form: object, key: str, period: date) -> InvoiceDetail:
    """Generate the invoice; if an older one is required first, offer that one."""
    try:
        return await perform_once(state, form, generate_invoice, key, period)
    except Conflict as refusal:
        earlier = refusal.facts.get("period")
        if refusal.code == "earlier_period_open" and isinstance(earlier, date):
            state._earlier = (key, label(earlier))
            state.earlier = text.month(earlier)
        raise


def _created(invoice: InvoiceDetail) -> str:
    return f"Invoice {invoice.number} for {text.month(invoice.period_start)} created"


class _Read(NamedTuple):
    """What the page shows, read in one transaction."""

    page: Page[InvoiceRow]
    totals: InvoiceTotals | None
    periods: tuple[date, ...]
    currencies: tuple[str, ...]
    customer: str
    """The name of the customer whose invoices are shown, or empty for all customers."""
    needs_issuer: bool
    now: datetime


def _read(session: Session, actor: Actor, listing: Listing) -> _Read:
    period = listing.get("period")
    invoice_filter = InvoiceFilter(
        customer=listing.get("customer"),
        period=validation.parsed("period", parse_period, period) if period else None,
        status=listing.get("status"),
        age=listing.get("age"),
        currency=listing.get("currency"),
        search=listing.get("search"),
    )
    sort = listing.get("sort") or NEWEST_FIRST
    return _Read(
        page=list_invoices(session, actor, invoice_filter, sort=sort, limit=ROWS, cursor=listing.cursor),
        totals=get_totals(session, actor, invoice_filter),
        periods=list_periods(session, actor),
        currencies=plans.list_currencies(session, actor),
        customer=customers.get_customer(session, actor, invoice_filter.customer).name
        if invoice_filter.customer
        else "",
        needs_issuer=not get_issuer(session, actor).is_complete,
        now=now(session),
    )


def _sorting(listing: Listing) -> Sorting:
    """Return the sorting of the period column. Newest first is the default."""
    if listing.get("sort") in (None, NEWEST_FIRST):
        return Sorting(listing.href(sort=OLDEST_FIRST), "descending")
    return Sorting(listing.href(sort=""), "ascending")


def month_options(periods: tuple[date, ...] | list[date]) -> list[Option]:
    """Return the periods as options of a select."""
    return [Option(label(period), text.month(period)) for period in periods]


def _with_selected(options: list[Option], selected: str) -> list[Option]:
    """Add the selected period if it has no invoices, so that the select can show it."""
    if not selected or any(option.value == selected for option in options):
        return options
    return [*options, *month_options([parse_period(selected)])]


def _show_totals(state: InvoicesState, totals: InvoiceTotals | None, moment: datetime) -> None:
    state.totals = [total_item(currency) for currency in totals.currencies] if totals else []
    counted_earlier = totals is not None and totals.as_of != moment
    state.totals_as_of = (
        text.timestamp(totals.as_of, viewer_zone(state)) if totals and counted_earlier else ""
    )
    state.totals_as_of_utc = text.timestamp_utc(totals.as_of) if totals and counted_earlier else ""


def list_ended_months(session: Session, actor: Actor) -> list[Option]:
    """Return the months that can be invoiced, newest first."""
    months = [previous_period(period_of(now(session)))]
    while len(months) < MONTHS:
        months.append(previous_period(months[-1]))
    return month_options(months)
