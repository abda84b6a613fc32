"""The counted figures as rows, and the JSON document in which they are stored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from billing_app.domain.invoice import PaymentStatus
from billing_app.domain.lines import LineKind
from billing_app.domain.money import plain


class InvoiceGroup(NamedTuple):
    """The invoices of one period, currency, payment status and age. `days_from` is the start of the age."""

    period_start: date
    currency: str
    status: PaymentStatus
    days_from: int
    invoices: int
    total_minor: int
    balance_minor: int


class LargestCustomer(NamedTuple):
    """A customer and the total of its invoices for the last twelve ended months."""

    currency: str
    key: str
    name: str
    invoiced_minor: int


class RevenueGroup(NamedTuple):
    """The invoiced amount of one period and kind of line."""

    period_start: date
    currency: str
    kind: LineKind
    amount_minor: int


class CustomerGroup(NamedTuple):
    """A number of customers, by whether they have a plan today (UTC) and whether they are suspended.

    `mrr_minor` is the sum of their monthly prices."""

    currency: str
    has_plan: bool
    is_suspended: bool
    customers: int
    mrr_minor: int


class UsageDay(NamedTuple):
    """The usage of one meter on one day: the quantities of all customers together."""

    meter_id: int
    day: date
    quantity: Decimal
    events: int


class UsageMonth(NamedTuple):
    """The usage of one meter in one month: the quantities of all customers together.

    `quantity_so_far` leaves out last month's usage after the same time of the month.
    """

    meter_id: int
    month: date
    quantity: Decimal
    quantity_so_far: Decimal


class UnpricedMonth(NamedTuple):
    """A usage month and the number of its events that have no price."""

    month: date
    events: int


class CreditGroup(NamedTuple):
    """The customers that have credit in one currency, and the sum of it."""

    currency: str
    customers: int
    credit_minor: int


@dataclass(frozen=True, slots=True)
class FiguresDocument:
    """All rows of one count. `month` is the month in which it was taken."""

    month: date
    invoices: tuple[InvoiceGroup, ...]
    largest: tuple[LargestCustomer, ...]
    revenue: tuple[RevenueGroup, ...]
    customers: tuple[CustomerGroup, ...]
    usage: tuple[UsageDay, ...]
    usage_months: tuple[UsageMonth, ...]
    unpriced: tuple[UnpricedMonth, ...]
    credits: tuple[CreditGroup, ...]

    def as_json(self) -> dict[str, Any]:
        """Return what a JSONB column holds; `from_json` reads it."""
        return {
            "month": self.month.isoformat(),
            "invoices": _rows_as_json(self.invoices),
            "largest": _rows_as_json(self.largest),
            "revenue": _rows_as_json(self.revenue),
            "customers": _rows_as_json(self.customers),
            "usage": _rows_as_json(self.usage),
            "usage_months": _rows_as_json(self.usage_months),
            "unpriced": _rows_as_json(self.unpriced),
            "credits": _rows_as_json(self.credits),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> FiguresDocument:
        """Read what `as_json` wrote."""
        return cls(
            month=date.fromisoformat(stored["month"]),
            invoices=tuple(
                InvoiceGroup(
                    date.fromisoformat(period),
                    currency,
                    status,
                    days_from,
                    invoices,
                    int(total),
                    int(balance),
                )
                for period, currency, status, days_from, invoices, total, balance in stored["invoices"]
            ),
            largest=tuple(
                LargestCustomer(currency, key, name, int(invoiced))
                for currency, key, name, invoiced in stored["largest"]
            ),
            revenue=tuple(
                RevenueGroup(date.fromisoformat(period), currency, kind, int(amount))
                for period, currency, kind, amount in stored["revenue"]
            ),
            customers=tuple(
                CustomerGroup(currency, has_plan, is_suspended, customers, int(mrr))
                for currency, has_plan, is_suspended, customers, mrr in stored["customers"]
            ),
            **_usage_from_json(stored),
        )


def _rows_as_json(rows: Iterable[tuple[object, ...]]) -> list[list[object]]:
    """Return rows as JSON can hold them: exact numbers as strings, dates as ISO 8601."""
    return [[_value_as_json(value) for value in row] for row in rows]


def _value_as_json(value: object) -> object:
    if isinstance(value, Decimal):
        return plain(value)
    return value.isoformat() if isinstance(value, date) else value


def _usage_from_json(stored: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "usage": tuple(
            UsageDay(meter_id, date.fromisoformat(day), Decimal(quantity), events)
            for meter_id, day, quantity, events in stored["usage"]
        ),
        "usage_months": tuple(
            UsageMonth(meter_id, date.fromisoformat(month), Decimal(quantity), Decimal(so_far))
            for meter_id, month, quantity, so_far in stored["usage_months"]
        ),
        "unpriced": tuple(
            UnpricedMonth(date.fromisoformat(month), events) for month, events in stored["unpriced"]
        ),
        "credits": tuple(
            CreditGroup(currency, customers, int(credit)) for currency, customers, credit in stored["credits"]
        ),
    }
