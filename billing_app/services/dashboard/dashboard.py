"""The dashboard's figures, as counted in the background, with amounts by currency."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlmodel import Session, select

from billing_app.domain.actor import Actor, Permission
from billing_app.domain.invoice import AGES, Age
from billing_app.domain.periods import previous_period
from billing_app.domain.pricing import ZERO
from billing_app.domain.terms import Meter
from billing_app.models import DashboardFigures
from billing_app.services.dashboard.document import FiguresDocument, InvoiceGroup, LargestCustomer
from billing_app.services.dashboard.figures import months_of_revenue
from billing_app.services.invoices.filters import NOTHING_LEFT_TO_PAY
from billing_app.services.plans.meter_queries import read_all_meters, read_usable_meters
from billing_app.services.shared.permissions import require
from billing_app.services.usage.days import DailyUsage


class Receivables(NamedTuple):
    """The outstanding invoices of one age."""

    age: Age
    outstanding_minor: int
    invoices: int


class MonthRevenue(NamedTuple):
    """The invoiced amounts of a billing period. Other amounts are discounts and one-off items."""

    period_start: date
    base_minor: int
    usage_minor: int
    other_minor: int


@dataclass(frozen=True, slots=True)
class CurrencyFigures:
    """The figures in one currency.

    `subscriptions` counts customers on a plan today (UTC), suspended ones included, and `mrr_minor` adds up
    their monthly prices. `invoiced_minor` and `invoices` are for the last ended month. `revenue` has the
    last twelve ended months, the oldest first. `largest` has at most ten customers, the largest first.
    `credit_minor` is the credit that customers have left.
    """

    currency: str
    subscriptions: int
    mrr_minor: int
    invoiced_minor: int
    invoices: int
    outstanding_minor: int
    outstanding_invoices: int
    overdue_minor: int
    overdue_invoices: int
    receivables: tuple[Receivables, ...]
    revenue: tuple[MonthRevenue, ...]
    largest: tuple[LargestCustomer, ...]
    credit_minor: int
    customers_with_credit: int


@dataclass(frozen=True, slots=True)
class MeterFigures:
    """The usage of one meter: the quantities of all customers together, as its aggregation makes them.

    `last_month_so_far` is last month's usage up to the same time of the month as now. Days without usage are
    absent.
    """

    meter: Meter
    quantity: Decimal
    last_month_so_far: Decimal
    last_month: Decimal
    days: tuple[DailyUsage, ...]
    days_last_month: tuple[DailyUsage, ...]


class Unpriced(NamedTuple):
    """A usage month and the number of its events that have no price."""

    month: date
    events: int


@dataclass(frozen=True, slots=True)
class Dashboard:
    """All figures as of one moment. Usage counts in its usage month, whichever invoice bills it.

    `active` counts customers on a plan today (UTC) that are not suspended, `without_plan` those before their
    first month or after a cancellation, and `suspended` those with or without a plan. `meters` has the default
    meter first, and archived ones only if they have usage. `unpriced` has this month and the last, if they
    have usage without a price.
    """

    as_of: datetime
    month: date
    customers: int
    active: int
    suspended: int
    without_plan: int
    meters: tuple[MeterFigures, ...]
    unpriced: tuple[Unpriced, ...]
    currencies: tuple[CurrencyFigures, ...]

    @property
    def last_month(self) -> date:
        """The period that `invoiced_minor` is for."""
        return previous_period(self.month)


def get_dashboard(session: Session, actor: Actor) -> Dashboard | None:
    """Return the newest figures, or None before the first count."""
    require(actor, Permission.READ)
    stored = session.scalar(select(DashboardFigures))
    if stored is None:
        return None
    document = FiguresDocument.from_json(stored.document)
    return _build_dashboard(stored.as_of, document, _meters_shown(session, document))


def figures_as_of(session: Session, actor: Actor) -> datetime | None:
    """Return when the figures in lists were counted, or None before the first count."""
    require(actor, Permission.READ)
    return session.scalar(select(DashboardFigures.as_of))


def _meters_shown(session: Session, document: FiguresDocument) -> list[Meter]:
    """Return the meters that are not archived or have usage, the default meter first."""
    usable = {meter.meter_id for meter in read_usable_meters(session).values()}
    used = {each.meter_id for each in document.usage_months}
    return [meter for meter_id, meter in read_all_meters(session).items() if meter_id in usable | used]


def _build_dashboard(as_of: datetime, document: FiguresDocument, meters: Iterable[Meter]) -> Dashboard:
    groups = document.customers
    return Dashboard(
        as_of=as_of,
        month=document.month,
        customers=sum(each.customers for each in groups),
        active=sum(each.customers for each in groups if each.has_plan and not each.is_suspended),
        suspended=sum(each.customers for each in groups if each.is_suspended),
        without_plan=sum(each.customers for each in groups if not each.has_plan),
        meters=tuple(_meter_figures(meter, document) for meter in meters),
        unpriced=tuple(Unpriced(*each) for each in document.unpriced),
        currencies=tuple(
            _currency_figures(currency, document) for currency in sorted({each.currency for each in groups})
        ),
    )


def _meter_figures(meter: Meter, document: FiguresDocument) -> MeterFigures:
    month = document.month
    months = {each.month: each for each in document.usage_months if each.meter_id == meter.meter_id}
    days = [each for each in document.usage if each.meter_id == meter.meter_id]
    last = months.get(previous_period(month))
    return MeterFigures(
        meter=meter,
        quantity=months[month].quantity if month in months else ZERO,
        last_month_so_far=last.quantity_so_far if last else ZERO,
        last_month=last.quantity if last else ZERO,
        days=tuple(DailyUsage(*each[1:]) for each in days if each.day >= month),
        days_last_month=tuple(DailyUsage(*each[1:]) for each in days if each.day < month),
    )


def _currency_figures(currency: str, document: FiguresDocument) -> CurrencyFigures:
    invoices = [each for each in document.invoices if each.currency == currency]
    customers = [each for each in document.customers if each.currency == currency]
    held = [each for each in document.credits if each.currency == currency]
    last_month = previous_period(document.month)
    invoiced = _sum(each for each in invoices if each.period_start == last_month)
    outstanding = _sum(each for each in invoices if each.status not in NOTHING_LEFT_TO_PAY)
    overdue = _sum(each for each in invoices if each.status == "overdue")
    return CurrencyFigures(
        currency=currency,
        subscriptions=sum(each.customers for each in customers if each.has_plan),
        mrr_minor=sum(each.mrr_minor for each in customers),
        invoiced_minor=invoiced.total_minor,
        invoices=invoiced.invoices,
        outstanding_minor=outstanding.balance_minor,
        outstanding_invoices=outstanding.invoices,
        overdue_minor=overdue.balance_minor,
        overdue_invoices=overdue.invoices,
        receivables=tuple(_receivables(invoices, age) for age in AGES),
        revenue=tuple(_revenue(currency, month, document) for month in months_of_revenue(document.month)),
        largest=tuple(each for each in document.largest if each.currency == currency),
        credit_minor=sum(each.credit_minor for each in held),
        customers_with_credit=sum(each.customers for each in held),
    )


class _Sums(NamedTuple):
    """A number of invoices with their totals and balances."""

    invoices: int
    total_minor: int
    balance_minor: int


def _sum(groups: Iterable[InvoiceGroup]) -> _Sums:
    found = list(groups)
    return _Sums(
        invoices=sum(each.invoices for each in found),
        total_minor=sum(each.total_minor for each in found),
        balance_minor=sum(each.balance_minor for each in found),
    )


def _receivables(invoices: Iterable[InvoiceGroup], age: Age) -> Receivables:
    found = _sum(
        each
        for each in invoices
        if each.status not in NOTHING_LEFT_TO_PAY and each.days_from == age.days_from
    )
    return Receivables(age, found.balance_minor, found.invoices)


def _revenue(currency: str, month: date, document: FiguresDocument) -> MonthRevenue:
    amounts = {
        each.kind: each.amount_minor
        for each in document.revenue
        if (each.period_start, each.currency) == (month, currency)
    }
    return MonthRevenue(
        period_start=month,
        base_minor=amounts.get("base", 0),
        usage_minor=amounts.get("overage", 0) + amounts.get("late_usage", 0),
        other_minor=amounts.get("discount", 0) + amounts.get("one_off", 0),
    )
