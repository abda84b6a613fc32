"""The list of invoices, what it comes to, and one invoice made by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import reflex as rx

from billing_app.database.session import now
from billing_app.domain.periods import label, parse_period, period_of, previous_period
from billing_app.errors import Conflict
from billing_app.jobs.invoicing import generate_invoice
from billing_app.services.customers import customers
from billing_app.services.invoices.filters import AGES
from billing_app.services.invoices.invoices import LAST_FIRST, InvoiceDetail, list_invoices
from billing_app.services.invoices.navigation import list_periods
from billing_app.services.invoices.totals import CurrencyTotals, InvoiceTotals, get_totals
from billing_app.services.plans import plans
from billing_app.services.shared import validation
from billing_app.state.kit import address, text
from billing_app.state.kit.errors import LOADING, loading
from billing_app.state.kit.forms import Form, open_dialog, read_period, read_text, submitting
from billing_app.state.kit.lists import Listing, Option, Pages, Sorting, parse_listing
from billing_app.state.kit.naming import customer_meant
from billing_app.state.kit.session import call, perform, viewer_zone
from billing_app.state.pages.customer import invoice_item
from billing_app.state.presenters.invoices import InvoiceItem, TotalItem

ROWS = 25
MONTHS = 36
GENERATE = "generate-invoice"
FILTERS = ("search", "customer", "period", "status", "age", "currency")
AGE_OPTIONS = [(age.name, text.age(age)) for age in AGES]


class InvoicesState(rx.State):
    """A page of invoices, by number, customer, period and payment status."""

    phase: str = LOADING
    problem: str = ""
    rows: rx.Field[list[InvoiceItem]] = rx.field(default_factory=list)
    pages: Pages = Pages()
    by_period: Sorting = Sorting()
    is_filtered: bool = False
    currencies: rx.Field[list[Option]] = rx.field(default_factory=list)
    periods: rx.Field[list[Option]] = rx.field(default_factory=list)
    totals: rx.Field[list[TotalItem]] = rx.field(default_factory=list)
    totals_as_of: str = ""
    totals_as_of_utc: str = ""
    customer: str = ""
    all_customers_href: str = ""
    csv_href: str = ""
    form: Form = Form()
    # The month that has to come first, of the customer that was named: its key and the month itself.
    earlier: str = ""
    _earlier: tuple[str, str] = ("", "")
    months: rx.Field[list[Option]] = rx.field(default_factory=list)

    @rx.event
    async def load(self) -> None:
        """Show the page that the address names."""
        listing = parse_listing(self, "/invoices", *FILTERS, "sort", "run")
        chosen = {name: listing.filters[name] for name in FILTERS}
        self.is_filtered = any(chosen.values())
        self.csv_href = address.link("/api/v1/invoices.csv", **chosen)
        self.all_customers_href = listing.href(customer="")
        async with loading(self):
            page, totals, periods, currencies, who, moment = await call(self, _read, listing)
            self.rows = [replace(invoice_item(row), customer=row.customer_name) for row in page.items]
            self.pages = listing.pages(page.next_cursor)
            self.by_period = _sorting(listing)
            self.periods = _with_chosen(month_options(periods), chosen["period"])
            self.currencies = [Option(each, each) for each in currencies]
            self.customer = who
            _show_totals(self, totals, moment)

    @rx.event
    async def open_generate(self) -> Any:
        """Open the dialog for one invoice: whose, and for which month."""
        self.months = await call(self, ended_months)
        self.earlier = ""
        start = {"customer": "", "period": self.months[0].value}
        return open_dialog(self, GENERATE, "Generate an invoice", start=start)

    @rx.event
    async def generate(self, form: dict[str, Any]) -> Any:
        """Make the customer's invoice for the month, and go to it."""
        async with submitting(self, form) as submission:
            self.earlier = ""
            period = read_period(form, "period")
            customer = await call(self, customer_meant, read_text(form, "customer"))
            made = await _generated(self, customer.key, period)
            submission.succeed(_said(made), rx.redirect(address.link(f"/invoices/{made.number}")))
        return submission.events

    @rx.event
    async def generate_earlier(self) -> Any:
        """Make the invoice that has to come first; the dialog stays, for the one that was asked for."""
        async with submitting(self, {}) as submission:
            key, period = self._earlier
            made = await _generated(self, key, parse_period(period))
            self.earlier = ""
            submission.events = [*submission.events, rx.toast.success(_said(made)), InvoicesState.load]
        return submission.events


async def _generated(state: InvoicesState, key: str, period: date) -> InvoiceDetail:
    """The invoice; refused for an older month, that one is offered."""
    try:
        return await perform(state, generate_invoice, key, period)
    except Conflict as refusal:
        if refusal.code == "earlier_period_open":
            earlier = refusal.facts["period"]
            assert isinstance(earlier, date)
            state._earlier = (key, label(earlier))
            state.earlier = text.month(earlier)
        raise


def _said(made: InvoiceDetail) -> str:
    return f"{made.number} for {text.month(made.period_start)} is made"


def _read(session: Any, actor: Any, listing: Listing) -> Any:
    period = listing.get("period")
    narrowed: dict[str, Any] = {
        "customer": listing.get("customer"),
        "period": validation.parsed("period", parse_period, period) if period else None,
        **{name: listing.get(name) for name in ("status", "age", "currency", "search")},
    }
    customer = narrowed["customer"]
    who = customers.get_customer(session, actor, customer).name if customer else ""
    page = list_invoices(
        session, actor, **narrowed, sort=listing.get("sort") or LAST_FIRST, limit=ROWS, cursor=listing.cursor
    )
    totals = get_totals(session, actor, **narrowed)
    return (
        page,
        totals,
        list_periods(session, actor),
        plans.list_currencies(session, actor),
        who,
        now(session),
    )


def _sorting(listing: Listing) -> Sorting:
    """The newest month is first also when the address does not say so."""
    if listing.get("sort") in (None, LAST_FIRST):
        return Sorting(listing.href(sort="period"), "descending")
    return Sorting(listing.href(sort=""), "ascending")


def month_options(periods: Any) -> list[Option]:
    """Months to choose from."""
    return [Option(label(period), text.month(period)) for period in periods]


def _with_chosen(options: list[Option], chosen: str) -> list[Option]:
    """With the month that was asked for, though it has no invoices."""
    if not chosen or any(option.value == chosen for option in options):
        return options
    return [*options, *month_options([parse_period(chosen)])]


def _show_totals(state: InvoicesState, totals: InvoiceTotals | None, moment: Any) -> None:
    state.totals = [_total(each) for each in totals.currencies] if totals else []
    counted_before = totals is not None and totals.as_of != moment
    state.totals_as_of = text.timestamp(totals.as_of, viewer_zone(state)) if totals and counted_before else ""
    state.totals_as_of_utc = text.timestamp_utc(totals.as_of) if totals and counted_before else ""


def _total(totals: CurrencyTotals) -> TotalItem:
    return TotalItem(
        currency=totals.currency,
        invoices=f"{totals.invoices:,} {'invoice' if totals.invoices == 1 else 'invoices'}",
        total=text.money(totals.total_minor, totals.currency),
        outstanding=text.money(totals.outstanding_minor, totals.currency),
        owes=totals.outstanding_minor > 0,
    )


def ended_months(session: Any, actor: Any) -> list[Option]:
    """The months that can be invoiced, the last one first."""
    month: date = period_of(now(session))
    months = []
    for _ in range(MONTHS):
        month = previous_period(month)
        months.append(month)
    return month_options(months)
