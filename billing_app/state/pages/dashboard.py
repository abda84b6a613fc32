"""The dashboard: figures that are counted in the background, with the time of the count."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import reflex as rx

from billing_app.domain.money import to_major
from billing_app.domain.periods import label, next_period, previous_period
from billing_app.services.dashboard.dashboard import (
    CurrencyFigures,
    Dashboard,
    MeterFigures,
    Unpriced,
    get_dashboard,
)
from billing_app.state.kit import address, text
from billing_app.state.kit.charts import point
from billing_app.state.kit.errors import LOADING, READY, loading
from billing_app.state.kit.lists import Option
from billing_app.state.kit.live import poll_while_open
from billing_app.state.kit.session import call, viewer_zone
from billing_app.state.presenters.dashboard import AgeItem, Choice, Figure, LargestItem
from billing_app.wording.values import counted

# Shown instead of an amount while there is no currency.
_NO_AMOUNT = "\N{EM DASH}"
_SEPARATOR = " · "
# The number of characters that fit a card in the usual font size.
_LONG_FIGURE = 16


class DashboardState(rx.State):
    """The figures. The charts show the currency and the meter in the address."""

    phase: str = LOADING
    problem: str = ""
    is_counted: bool = False
    has_customers: bool = False
    as_of: str = ""
    as_of_utc: str = ""
    month: str = ""
    last_month: str = ""
    currency: str = ""
    symbol: str = ""
    choices: rx.Field[list[Choice]] = rx.field(default_factory=list)
    mrr: Figure = Figure()
    active: Figure = Figure()
    usage: Figure = Figure()
    # The title of the chart of usage, and the meters to select from if there are several.
    usage_title: str = ""
    meters: rx.Field[list[Option]] = rx.field(default_factory=list)
    invoiced: Figure = Figure()
    outstanding: Figure = Figure()
    overdue: Figure = Figure()
    # Shown only if there is something to count.
    unpriced: rx.Field[list[Figure]] = rx.field(default_factory=list)
    credit: Figure = Figure()
    days: rx.Field[list[dict[str, Any]]] = rx.field(default_factory=list)
    revenue: rx.Field[list[dict[str, Any]]] = rx.field(default_factory=list)
    outstanding_href: str = "/invoices"
    ages: rx.Field[list[AgeItem]] = rx.field(default_factory=list)
    largest: rx.Field[list[LargestItem]] = rx.field(default_factory=list)
    _watch: int = 0

    @rx.event
    async def load(self) -> Any:
        """Show the newest figures, or wait for the first ones."""
        async with loading(self):
            _show(self, await call(self, get_dashboard))
        has_figures = self.is_counted and self.has_customers
        return None if has_figures or self.phase != READY else DashboardState.watch

    @rx.event(background=True)
    async def watch(self) -> None:
        """Wait for the first count after customers exist, and show its figures."""
        async for _ in poll_while_open(self):
            dashboard = await call(self, get_dashboard)
            if dashboard:
                async with self:
                    _show(self, dashboard)
                if dashboard.customers:
                    break


def _show(state: DashboardState, dashboard: Dashboard | None) -> None:
    state.is_counted = dashboard is not None
    if dashboard is None:
        return
    state.has_customers = dashboard.customers > 0
    state.as_of = text.timestamp(dashboard.as_of, viewer_zone(state))
    state.as_of_utc = text.timestamp_utc(dashboard.as_of)
    state.month, state.last_month = text.month(dashboard.month), text.month(dashboard.last_month)
    picked = address.query_parameter(state, "meter")
    ordered = _order_currencies(dashboard, address.query_parameter(state, "currency"))
    _show_figures(state, dashboard, ordered)
    _show_usage(state, dashboard, picked)
    state.choices = [
        Choice(each.currency, address.link("/", currency=each.currency, meter=picked), each is ordered[0])
        for each in dashboard.currencies
    ]
    if ordered:
        _show_money(state, ordered[0])


def _show_figures(state: DashboardState, dashboard: Dashboard, ordered: list[CurrencyFigures]) -> None:
    """Fill the cards. Each links to the list that it counts."""
    subscriptions = sum(each.subscriptions for each in ordered)
    state.mrr = _money(
        ordered,
        "mrr_minor",
        counted(subscriptions, "subscription"),
        address.link("/customers", subscribed="true"),
    )
    state.active = Figure(
        lead=f"{dashboard.customers - dashboard.suspended:,}",
        caption=_describe_customers(dashboard),
        href=address.link("/customers", status="active"),
    )
    state.invoiced = _money(
        ordered, "invoiced_minor", counted(sum(each.invoices for each in ordered), "invoice"),
        address.link("/invoices", period=label(dashboard.last_month)),
    )  # fmt: skip
    state.outstanding = _money(
        ordered, "outstanding_minor", counted(sum(each.outstanding_invoices for each in ordered), "invoice"),
        address.link("/invoices", status="outstanding"),
    )  # fmt: skip
    overdue = sum(each.overdue_invoices for each in ordered)
    state.overdue = _money(
        ordered, "overdue_minor", counted(overdue, "invoice"), address.link("/invoices", status="overdue"),
        is_alarming=overdue > 0,
    )  # fmt: skip
    state.unpriced = [_unpriced(each) for each in dashboard.unpriced]
    held = [each for each in ordered if each.customers_with_credit]
    state.credit = _money(
        held, "credit_minor", counted(sum(each.customers_with_credit for each in held), "customer"),
        address.link("/customers", credit="true"),
    ) if held else Figure()  # fmt: skip


def _unpriced(found: Unpriced) -> Figure:
    """Present a month's usage that costs nothing because the plan has no price for it."""
    return Figure(
        label=f"Unpriced usage, {text.month(found.month)}",
        lead=f"{found.events:,}",
        others="event" if found.events == 1 else "events",
        caption="The customer’s plan has no price for it",
        href=address.link("/usage", period=label(found.month), unpriced="true"),
    )


def _show_usage(state: DashboardState, dashboard: Dashboard, picked: str) -> None:
    """Fill the card and the chart of the picked meter, by default the first one with usage."""
    meters = dashboard.meters
    default = next((each for each in meters if each.quantity or each.last_month), meters[0])
    shown = next((each for each in meters if each.meter.code == picked), default)
    has_several = len(meters) > 1
    state.meters = [
        Option("" if each is default else each.meter.code, each.meter.name) for each in meters if has_several
    ]
    state.usage_title = f"{shown.meter.name} per day" if has_several else "Usage per day"
    used = text.quantity(shown.quantity)
    state.usage = Figure(
        label=f"{shown.meter.name} this month" if has_several else "Usage this month",
        lead=used,
        is_long=len(used) > _LONG_FIGURE,
        others=text.unit_of(shown.quantity, shown.meter) if has_several else "",
        caption=_compare(shown.quantity, shown.last_month_so_far, dashboard.last_month),
        href=address.link(
            "/usage", period=label(dashboard.month), meter=shown.meter.code if has_several else ""
        ),
    )
    state.days = _days(dashboard, shown)


def _show_money(state: DashboardState, figures: CurrencyFigures) -> None:
    """Fill the charts and lists of one currency."""
    state.currency = figures.currency
    among_others = figures.currency if len(state.choices) > 1 else ""
    state.outstanding_href = address.link("/invoices", status="outstanding", currency=among_others)
    state.symbol = text.currency_symbol(figures.currency)
    state.revenue = [
        point(
            text.month(each.period_start),
            base=_bar_value(each.base_minor, figures.currency),
            usage=_bar_value(each.usage_minor, figures.currency),
            other=_bar_value(each.other_minor, figures.currency),
        )
        for each in figures.revenue
    ]
    largest_amount = max((each.outstanding_minor for each in figures.receivables), default=0)
    state.ages = [
        AgeItem(
            label=text.age(each.age),
            href=address.link("/invoices", age=each.age.name, currency=among_others),
            amount=text.money(each.outstanding_minor, figures.currency),
            invoices=counted(each.invoices, "invoice"),
            share=_share(each.outstanding_minor, largest_amount),
            is_overdue=each.age.days_from > 0,
        )
        for each in figures.receivables
    ]
    largest_amount = max((each.invoiced_minor for each in figures.largest), default=0)
    state.largest = [
        LargestItem(
            place=str(place),
            name=each.name,
            href=address.link(f"/customers/{each.key}"),
            amount=text.money(each.invoiced_minor, figures.currency),
            share=_share(each.invoiced_minor, largest_amount),
        )
        for place, each in enumerate(figures.largest, 1)
    ]


def _order_currencies(dashboard: Dashboard, wanted: str) -> list[CurrencyFigures]:
    """Return the currencies, starting with the selected one, or else the one with the most subscriptions.

    Amounts can't determine the order, because there are no exchange rates.
    """

    def place(each: CurrencyFigures) -> tuple[bool, int, str]:
        return each.currency != wanted, -each.subscriptions, each.currency

    return sorted(dashboard.currencies, key=place)


def _money(
    ordered: list[CurrencyFigures], name: str, caption: str, href: str, *, is_alarming: bool = False
) -> Figure:
    amounts = [text.money(getattr(each, name), each.currency) for each in ordered]
    lead = amounts[0] if amounts else _NO_AMOUNT
    return Figure(
        lead=lead,
        is_long=len(lead) > _LONG_FIGURE,
        others=_SEPARATOR.join(amounts[1:]),
        caption=caption,
        href=href,
        is_alarming=is_alarming,
    )


def _bar_value(amount_minor: int, currency: str) -> tuple[Decimal, str]:
    return to_major(amount_minor, currency), text.money(amount_minor, currency)


def _describe_customers(dashboard: Dashboard) -> str:
    """Describe the number of active customers, and the customers that are not counted in it."""
    idle = dashboard.customers - dashboard.suspended - dashboard.active
    parts = (
        idle and f"{idle:,} without a plan",
        dashboard.suspended and f"{dashboard.suspended:,} suspended",
    )
    return _SEPARATOR.join(part for part in parts if part) or f"of {counted(dashboard.customers, 'customer')}"


def _compare(now: Decimal, then: Decimal, month: date) -> str:
    """Compare this month with the same part of last month, in percent."""
    name = text.month(month).split()[0]
    if not then:
        return f"No usage at this point in {name}"
    change = round((now - then) * 100 / then)
    how = f"{abs(change):,}% {'more' if change > 0 else 'less'} than" if change else "Same as"
    return f"{how} at this point in {name} ({text.quantity(then)})"


def _days(dashboard: Dashboard, figures: MeterFigures) -> list[dict[str, Any]]:
    """Return each day of this month so far with the same day of last month. Days without usage are zero."""
    today = dashboard.as_of.date()
    this = {each.day.day: each.quantity for each in figures.days}
    last = {each.day.day: each.quantity for each in figures.days_last_month}
    length = (next_period(dashboard.month) - dashboard.month).days
    last_length = (dashboard.month - previous_period(dashboard.month)).days
    points = []
    for day in range(1, max(length, last_length) + 1):
        series = {}
        if day <= last_length:
            series["last"] = _units(last.get(day, Decimal(0)))
        if day <= length and dashboard.month.replace(day=min(day, length)) <= today:
            series["this"] = _units(this.get(day, Decimal(0)))
        points.append(point(str(day), **series))
    return points


def _units(quantity: Decimal) -> tuple[Decimal, str]:
    return quantity, text.quantity(quantity)


def _share(amount: int, most: int) -> int:
    """Return the length of a bar in percent. Any positive amount is visible."""
    return max(1, amount * 100 // most) if amount > 0 and most > 0 else 0
