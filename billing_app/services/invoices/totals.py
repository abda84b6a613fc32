"""Sum a selection of invoices by currency."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, cast

from sqlmodel import Session, select

from billing_app.database.session import driver_cursor, now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.invoice import PaymentStatus
from billing_app.models import DashboardFigures
from billing_app.services.invoices.filters import ALL_INVOICES, NOTHING_LEFT_TO_PAY, InvoiceFilter
from billing_app.services.invoices.selection import select_invoices
from billing_app.services.payments.queries import BALANCE, JOIN_OPEN, JOIN_PAID
from billing_app.services.shared.permissions import require

SUMMED_MAX = 10_000
"""How many invoices with their payments can be summed during a request."""


class CurrencyTotals(NamedTuple):
    """The number of invoices in one currency, their total, and the outstanding part of it."""

    currency: str
    invoices: int
    total_minor: int
    outstanding_minor: int


@dataclass(frozen=True, slots=True)
class InvoiceTotals:
    """The totals by currency, as of now or of the last background count."""

    as_of: datetime
    currencies: tuple[CurrencyTotals, ...]


# Selects the invoices once. Beyond the maximum, nothing is summed.
_SUMS = f"""
    WITH selected AS MATERIALIZED (
        SELECT i.customer_id, i.period_start, i.currency, i.total_minor
          FROM invoice i {JOIN_OPEN} WHERE {{condition}} LIMIT %(limit)s
    ), size AS (SELECT count(*) > %(most)s AS is_large FROM selected)
    SELECT size.is_large, sums.*
      FROM size LEFT JOIN LATERAL (
        SELECT i.currency, count(*), sum(i.total_minor), sum({BALANCE})
          FROM selected i {JOIN_PAID} WHERE NOT size.is_large GROUP BY 1
      ) sums ON true
"""


def get_totals(
    session: Session, actor: Actor, invoice_filter: InvoiceFilter = ALL_INVOICES
) -> InvoiceTotals | None:
    """Sum the invoices that `list_invoices` would list.

    Up to 10,000 invoices are summed now. The totals of more come from the last background count, which can't
    select by customer or search. In that case, and before the first count, the totals are None.

    Raises:
        NotFound: `customer_not_found`.
        Invalid: The filter breaks a rule.
    """
    require(actor, Permission.READ)
    condition, parameters = select_invoices(session, invoice_filter)
    parameters |= {"most": SUMMED_MAX, "limit": SUMMED_MAX + 1}
    with driver_cursor(session) as db:
        rows = db.execute(_SUMS.format(condition=condition), parameters).fetchall()
    is_large = rows[0][0]
    if not is_large:
        sums = (_totals_of(*columns) for _, *columns in rows if columns[0])
        return InvoiceTotals(now(session), _by_currency(sums))
    return (
        None if invoice_filter.customer or invoice_filter.search else _read_counted(session, invoice_filter)
    )


class _CountedInvoices(NamedTuple):
    """The invoices of one period, currency, status and age, as the background count stores them."""

    period: str
    currency: str
    status: str
    days_from: int
    invoices: int
    total_minor: str
    balance_minor: str


def _read_counted(session: Session, invoice_filter: InvoiceFilter) -> InvoiceTotals | None:
    figures = session.scalar(select(DashboardFigures))
    if figures is None:
        return None
    rows = (_CountedInvoices(*columns) for columns in figures.document["invoices"])
    selected = (
        _totals_of(row.currency, row.invoices, row.total_minor, row.balance_minor)
        for row in rows
        if _includes(invoice_filter, row)
    )
    return InvoiceTotals(figures.as_of, _by_currency(selected))


def _includes(invoice_filter: InvoiceFilter, row: _CountedInvoices) -> bool:
    age = invoice_filter.find_age()
    return (
        (invoice_filter.period is None or invoice_filter.period.isoformat() == row.period)
        and invoice_filter.currency in (None, row.currency)
        and invoice_filter.includes_status(cast(PaymentStatus, row.status))
        and (age is None or (row.status not in NOTHING_LEFT_TO_PAY and age.days_from == row.days_from))
    )


def _totals_of(
    currency: str, invoices: int, total_minor: object, outstanding_minor: object
) -> CurrencyTotals:
    """Build totals from exact numbers, which the database returns as decimals and JSON as text."""
    return CurrencyTotals(currency, invoices, int(str(total_minor)), int(str(outstanding_minor)))


def _by_currency(rows: Iterable[CurrencyTotals]) -> tuple[CurrencyTotals, ...]:
    """Add up the rows of each currency, in the order of the currencies' codes."""
    sums: dict[str, CurrencyTotals] = {}
    for row in rows:
        sum_so_far = sums.get(row.currency, CurrencyTotals(row.currency, 0, 0, 0))
        sums[row.currency] = CurrencyTotals(
            row.currency,
            invoices=sum_so_far.invoices + row.invoices,
            total_minor=sum_so_far.total_minor + row.total_minor,
            outstanding_minor=sum_so_far.outstanding_minor + row.outstanding_minor,
        )
    return tuple(sums[currency] for currency in sorted(sums))
