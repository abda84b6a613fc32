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
from billing_app.domain.money import exact_sum
from billing_app.domain.periods import next_period, previous_period
from billing_app.models import DashboardFigures
from billing_app.services.dashboard.document import FiguresDocument, InvoiceGroup, LargestCustomer
from billing_app.services.dashboard.figures import months_of_revenue
from billing_app.services.invoices.filters import NOTHING_LEFT_TO_PAY
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


@dataclass(frozen=True, slots=True)
class Dashboard:
    """All figures as of one moment. Usage counts in its usage month, whichever invoice bills it.

    `active` counts customers on a plan today (UTC) that are not suspended, `without_plan` those before their
    first month or after a cancellation, and `suspended` those with or without a plan.
    `usage_last_month_so_far` is last month's usage up to the same time of the month as now. Days without
    usage are absent.
    """

    as_of: datetime
    month: date
    customers: int
    active: int
    suspended: int
    without_plan: int
    usage: Decimal
    usage_last_month_so_far: Decimal
    usage_last_month: Decimal
    days: tuple[DailyUsage, ...]
    days_last_month: tuple[DailyUsage, ...]
    currencies: tuple[CurrencyFigures, ...]

    @property
    def last_month(self) -> date:
        """The period that `invoiced_minor` is for."""
        return previous_period(self.month)


def get_dashboard(session: Session, actor: Actor) -> Dashboard | None:
    """Return the newest figures, or None before the first count."""
    require(actor, Permission.READ)
    stored = session.scalar(select(DashboardFigures))
    return _build_dashboard(stored.as_of, FiguresDocument.from_json(stored.document)) if stored else None


def figures_as_of(session: Session, actor: Actor) -> datetime | None:
    """Return when the figures in lists were counted, or None before the first count."""
    require(actor, Permission.READ)
    return session.scalar(select(DashboardFigures.as_of))


def _build_dashboard(as_of: datetime, document: FiguresDocument) -> Dashboard:
    month, groups = document.month, document.customers
    this_month = [each for each in document.usage if month <= each.day < next_period(month)]
    last_month = [each for each in document.usage if each.day < month]
    return Dashboard(
        as_of=as_of,
        month=month,
        customers=sum(each.customers for each in groups),
        active=sum(each.customers for each in groups if each.has_plan and not each.is_suspended),
        suspended=sum(each.customers for each in groups if each.is_suspended),
        without_plan=sum(each.customers for each in groups if not each.has_plan),
        usage=exact_sum(each.quantity for each in this_month),
        usage_last_month_so_far=exact_sum(each.quantity_so_far for each in last_month),
        usage_last_month=exact_sum(each.quantity for each in last_month),
        days=tuple(DailyUsage(each.day, each.quantity, each.events) for each in this_month),
        days_last_month=tuple(DailyUsage(each.day, each.quantity, each.events) for each in last_month),
        currencies=tuple(
            _currency_figures(currency, document) for currency in sorted({each.currency for each in groups})
        ),
    )


def _currency_figures(currency: str, document: FiguresDocument) -> CurrencyFigures:
    invoices = [each for each in document.invoices if each.currency == currency]
    customers = [each for each in document.customers if each.currency == currency]
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
