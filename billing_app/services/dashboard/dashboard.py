"""The dashboard's figures, as counted in the background, with amounts by currency."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from sqlmodel import Session, select

from billing_app.domain.actor import Actor, Permission
from billing_app.domain.invoice import AGES, Age
from billing_app.domain.money import exact_sum
from billing_app.domain.periods import next_period, previous_period
from billing_app.models import DashboardFigures
from billing_app.services.dashboard.figures import months_of_revenue
from billing_app.services.shared.permissions import require
from billing_app.services.usage.days import DailyUsage


class Receivables(NamedTuple):
    """The outstanding invoices of an age."""

    age: Age
    outstanding_minor: int
    invoices: int


class MonthRevenue(NamedTuple):
    """The invoiced amounts of a billing period, by kind of line."""

    period_start: date
    base_minor: int
    overage_minor: int
    late_usage_minor: int


class LargestCustomer(NamedTuple):
    """A customer with its invoiced amount for the last twelve ended months."""

    key: str
    name: str
    invoiced_minor: int


@dataclass(frozen=True, slots=True)
class CurrencyFigures:
    """The figures in one currency.

    `subscriptions` counts customers on a plan this month, suspended ones included, and `mrr_minor` adds up
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
    """All figures as of one moment. Usage counts in the month it occurred in, wherever it is billed.

    `active` customers are on a plan this month and not suspended; `without_plan` ones are before their
    first month or cancelled; `suspended` ones may or may not have a plan. `usage_last_month_so_far` covers
    the same part of last month as has passed of this month. Days without usage are absent.
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
    """Return the newest figures; None before the first count."""
    require(actor, Permission.READ)
    stored = session.scalar(select(DashboardFigures))
    return _build_dashboard(stored.as_of, stored.document) if stored else None


def figures_as_of(session: Session, actor: Actor) -> datetime | None:
    """Return when the figures in lists were counted; None before the first count."""
    require(actor, Permission.READ)
    return session.scalar(select(DashboardFigures.as_of))


def _build_dashboard(as_of: datetime, document: dict[str, Any]) -> Dashboard:
    month = date.fromisoformat(document["month"])
    counted = [(subscribed, suspended, count) for _, subscribed, suspended, count, _ in document["customers"]]
    days = [
        (DailyUsage(date.fromisoformat(day), Decimal(quantity), events), Decimal(so_far))
        for day, quantity, events, so_far in document["usage"]
    ]
    this_month = tuple(each for each, _ in days if month <= each.day < next_period(month))
    last_month = tuple(each for each, _ in days if each.day < month)
    return Dashboard(
        as_of=as_of,
        month=month,
        customers=sum(count for _, _, count in counted),
        active=sum(count for subscribed, suspended, count in counted if subscribed and not suspended),
        suspended=sum(count for _, suspended, count in counted if suspended),
        without_plan=sum(count for subscribed, _, count in counted if not subscribed),
        usage=exact_sum(each.quantity for each in this_month),
        usage_last_month_so_far=exact_sum(so_far for each, so_far in days if each.day < month),
        usage_last_month=exact_sum(each.quantity for each in last_month),
        days=this_month,
        days_last_month=last_month,
        currencies=tuple(
            _currency_figures(currency, month, document)
            for currency in sorted({row[0] for row in document["customers"]})
        ),
    )


def _currency_figures(currency: str, month: date, document: dict[str, Any]) -> CurrencyFigures:
    invoices = [row for row in document["invoices"] if row[1] == currency]
    invoiced = _sum(invoices, lambda period, *_: period == previous_period(month).isoformat())
    outstanding = _sum(invoices, lambda period, status, days_from: status != "paid")
    overdue = _sum(invoices, lambda period, status, days_from: status == "overdue")
    return CurrencyFigures(
        currency=currency,
        subscriptions=sum(row[3] for row in document["customers"] if row[0] == currency and row[1]),
        mrr_minor=sum(int(row[4]) for row in document["customers"] if row[0] == currency),
        invoiced_minor=invoiced.total_minor,
        invoices=invoiced.invoices,
        outstanding_minor=outstanding.balance_minor,
        outstanding_invoices=outstanding.invoices,
        overdue_minor=overdue.balance_minor,
        overdue_invoices=overdue.invoices,
        receivables=tuple(_receivables(invoices, age) for age in AGES),
        revenue=tuple(_revenue(currency, period, document["revenue"]) for period in months_of_revenue(month)),
        largest=tuple(
            LargestCustomer(key, name, int(invoiced_minor))
            for found, key, name, invoiced_minor in document["largest"]
            if found == currency
        ),
    )


class _Sums(NamedTuple):
    """A number of invoices with their totals and balances."""

    invoices: int
    total_minor: int
    balance_minor: int


def _sum(invoices: Iterable[list[Any]], is_included: Callable[[str, str, int], bool]) -> _Sums:
    """Add up the invoices that `is_included` accepts by period, status and age."""
    found = [
        (count, int(total), int(balance))
        for period, _, status, days_from, count, total, balance in invoices
        if is_included(period, status, days_from)
    ]
    return _Sums(sum(row[0] for row in found), sum(row[1] for row in found), sum(row[2] for row in found))


def _receivables(invoices: list[list[Any]], age: Age) -> Receivables:
    found = _sum(invoices, lambda _, status, days_from: status != "paid" and days_from == age.days_from)
    return Receivables(age, found.balance_minor, found.invoices)


def _revenue(currency: str, period: date, lines: list[list[Any]]) -> MonthRevenue:
    amounts = {
        kind: int(amount)
        for line_period, line_currency, kind, amount in lines
        if (line_period, line_currency) == (period.isoformat(), currency)
    }
    return MonthRevenue(
        period, amounts.get("base", 0), amounts.get("overage", 0), amounts.get("late_usage", 0)
    )
