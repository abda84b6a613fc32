"""How the business is: the figures that were counted in the background, as of their moment."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import reflex as rx

from billing_app.domain.money import to_major
from billing_app.domain.periods import label, next_period, previous_period
from billing_app.services.dashboard.dashboard import CurrencyFigures, Dashboard, get_dashboard
from billing_app.state.kit import address, text
from billing_app.state.kit.charts import point
from billing_app.state.kit.errors import LOADING, READY, loading
from billing_app.state.kit.live import poll_while_open
from billing_app.state.kit.session import call, viewer_zone
from billing_app.state.presenters.dashboard import AgeItem, Choice, Figure, LargestItem

# What money is shown as before there is any.
_NONE = "\N{EM DASH}"
_APART = " · "


class DashboardState(rx.State):
    """The figures; money of each currency apart, the charts in the one that the address names."""

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
    invoiced: Figure = Figure()
    outstanding: Figure = Figure()
    overdue: Figure = Figure()
    days: rx.Field[list[dict[str, Any]]] = rx.field(default_factory=list)
    revenue: rx.Field[list[dict[str, Any]]] = rx.field(default_factory=list)
    outstanding_href: str = "/invoices"
    ages: rx.Field[list[AgeItem]] = rx.field(default_factory=list)
    largest: rx.Field[list[LargestItem]] = rx.field(default_factory=list)
    _watch: int = 0

    @rx.event
    async def load(self) -> Any:
        """Show the newest figures; without any, wait for the first."""
        async with loading(self):
            _show(self, await call(self, get_dashboard))
        return None if self.is_counted or self.phase != READY else DashboardState.watch

    @rx.event(background=True)
    async def watch(self) -> None:
        """Show the first figures as soon as they are counted."""
        async for _ in poll_while_open(self):
            found = await call(self, get_dashboard)
            if found:
                async with self:
                    _show(self, found)
                break


def _show(state: DashboardState, found: Dashboard | None) -> None:
    state.is_counted = found is not None
    if found is None:
        return
    state.has_customers = found.customers > 0
    state.as_of = text.timestamp(found.as_of, viewer_zone(state))
    state.as_of_utc = text.timestamp_utc(found.as_of)
    state.month, state.last_month = text.month(found.month), text.month(found.last_month)
    ordered = _ordered(found, address.query_parameter(state, "currency"))
    _show_figures(state, found, ordered)
    state.days = _days(found)
    state.choices = [
        Choice(each.currency, address.link("/", currency=each.currency), each is ordered[0])
        for each in found.currencies
    ]
    if ordered:
        _show_money(state, ordered[0])


def _show_figures(state: DashboardState, found: Dashboard, ordered: list[CurrencyFigures]) -> None:
    """The numbers of the cards: each leads to the list that it counts."""
    subscriptions = sum(each.subscriptions for each in ordered)
    state.mrr = _money(
        ordered,
        "mrr_minor",
        _counted(subscriptions, "subscription"),
        address.link("/customers", subscribed="true"),
    )
    state.active = Figure(
        lead=f"{found.customers - found.suspended:,}",
        caption=_of_them(found),
        href=address.link("/customers", status="active"),
    )
    state.usage = Figure(
        lead=text.quantity(found.usage),
        caption=_compared(found.usage, found.usage_last_month_so_far, found.last_month),
        href=address.link("/usage", period=label(found.month)),
    )
    state.invoiced = _money(
        ordered, "invoiced_minor", _invoices(sum(each.invoices for each in ordered)),
        address.link("/invoices", period=label(found.last_month)),
    )  # fmt: skip
    state.outstanding = _money(
        ordered, "outstanding_minor", _invoices(sum(each.outstanding_invoices for each in ordered)),
        address.link("/invoices", status="outstanding"),
    )  # fmt: skip
    overdue = sum(each.overdue_invoices for each in ordered)
    state.overdue = _money(
        ordered, "overdue_minor", _invoices(overdue), address.link("/invoices", status="overdue"),
        is_alarming=overdue > 0,
    )  # fmt: skip


def _show_money(state: DashboardState, figures: CurrencyFigures) -> None:
    """The charts and lists of one currency."""
    state.currency = figures.currency
    among_others = figures.currency if len(state.choices) > 1 else ""
    state.outstanding_href = address.link("/invoices", status="outstanding", currency=among_others)
    state.symbol = text.currency_symbol(figures.currency)
    state.revenue = [
        point(
            text.month(each.period_start),
            base=_drawn(each.base_minor, figures.currency),
            overage=_drawn(each.overage_minor, figures.currency),
            late=_drawn(each.late_usage_minor, figures.currency),
        )
        for each in figures.revenue
    ]
    most_owed = max((each.outstanding_minor for each in figures.receivables), default=0)
    state.ages = [
        AgeItem(
            label=text.age(each.age),
            href=address.link("/invoices", age=each.age.name, currency=among_others),
            amount=text.money(each.outstanding_minor, figures.currency),
            invoices=_invoices(each.invoices),
            share=_share(each.outstanding_minor, most_owed),
            is_overdue=each.age.days_from > 0,
        )
        for each in figures.receivables
    ]
    most = max((each.invoiced_minor for each in figures.largest), default=0)
    state.largest = [
        LargestItem(
            place=str(place),
            name=each.name,
            href=address.link(f"/customers/{each.key}"),
            amount=text.money(each.invoiced_minor, figures.currency),
            share=_share(each.invoiced_minor, most),
        )
        for place, each in enumerate(figures.largest, 1)
    ]


def _ordered(found: Dashboard, wanted: str) -> list[CurrencyFigures]:
    """The currencies, first the one asked for; else the one with the most subscriptions.

    What amounts of different currencies are worth to each other is nobody's business here.
    """

    def place(each: CurrencyFigures) -> tuple[bool, int, str]:
        return each.currency != wanted, -each.subscriptions, each.currency

    return sorted(found.currencies, key=place)


def _money(
    ordered: list[CurrencyFigures], name: str, caption: str, href: str, *, is_alarming: bool = False
) -> Figure:
    amounts = [text.money(getattr(each, name), each.currency) for each in ordered]
    return Figure(
        lead=amounts[0] if amounts else _NONE,
        others=_APART.join(amounts[1:]),
        caption=caption,
        href=href,
        is_alarming=is_alarming,
    )


def _drawn(amount_minor: int, currency: str) -> tuple[Decimal, str]:
    return to_major(amount_minor, currency), text.money(amount_minor, currency)


def _of_them(found: Dashboard) -> str:
    """What the number of customers that are active, which is not suspended, does not say."""
    idle = found.customers - found.suspended - found.active
    parts = (
        idle and f"{idle:,} of them without a plan",
        found.suspended and f"{found.suspended:,} suspended",
    )
    return _APART.join(part for part in parts if part) or f"of {_counted(found.customers, 'customer')}"


def _compared(now: Decimal, then: Decimal, month: date) -> str:
    """This month against as much of the last: in hundredths, and with the number itself."""
    name = text.month(month).split()[0]
    if not then:
        return f"Nothing by this time in {name}"
    change = round((now - then) * 100 / then)
    how = f"{abs(change):,}% {'more' if change > 0 else 'less'} than" if change else "As much as"
    return f"{how} by this time in {name} ({text.quantity(then)})"


def _days(found: Dashboard) -> list[dict[str, Any]]:
    """Each day of the month, up to now, with the same day of the last one; days without usage are zero."""
    today = found.as_of.date()
    this = {each.day.day: each.quantity for each in found.days}
    last = {each.day.day: each.quantity for each in found.days_last_month}
    lasts = (next_period(found.month) - found.month).days
    lasted = (found.month - previous_period(found.month)).days
    points = []
    for day in range(1, max(lasts, lasted) + 1):
        series = {}
        if day <= lasted:
            series["last"] = _units(last.get(day, Decimal(0)))
        if day <= lasts and found.month.replace(day=min(day, lasts)) <= today:
            series["this"] = _units(this.get(day, Decimal(0)))
        points.append(point(str(day), **series))
    return points


def _units(quantity: Decimal) -> tuple[Decimal, str]:
    return quantity, text.quantity(quantity)


def _share(amount: int, most: int) -> int:
    """A bar's length in hundredths; whatever is more than nothing is seen."""
    return max(1, amount * 100 // most) if amount > 0 and most > 0 else 0


def _invoices(count: int) -> str:
    return _counted(count, "invoice")


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word if count == 1 else f'{word}s'}"
