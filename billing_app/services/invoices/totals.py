"""What a selection of invoices comes to, by currency."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import NamedTuple

from sqlmodel import Session, select

from billing_app.database.session import driver_cursor, now
from billing_app.domain.actor import Actor, Permission
from billing_app.models import DashboardFigures
from billing_app.services.invoices.filters import chosen, find_age
from billing_app.services.payments.queries import JOIN_OPEN, JOIN_PAID
from billing_app.services.shared.permissions import require

# So many invoices, with the payments of each, are summed while somebody waits.
SUMMED_MAX = 10_000


class CurrencyTotals(NamedTuple):
    """So many invoices of one currency, what they were made out for, and what is left to pay."""

    currency: str
    invoices: int
    total_minor: int
    outstanding_minor: int


@dataclass(frozen=True, slots=True)
class InvoiceTotals:
    """The totals as of a moment: now, or that of the last count in the background."""

    as_of: datetime
    currencies: tuple[CurrencyTotals, ...]


# The invoices are looked for once; beyond the most, nothing is added up.
_SUMS = f"""
    WITH found AS MATERIALIZED (
        SELECT i.customer_id, i.period_start, i.currency, i.total_minor
          FROM invoice i {JOIN_OPEN} WHERE {{chosen}} LIMIT %(limit)s
    ), size AS (SELECT count(*) > %(most)s AS is_large FROM found)
    SELECT size.is_large, sums.*
      FROM size LEFT JOIN LATERAL (
        SELECT i.currency, count(*), sum(i.total_minor), sum(i.total_minor - paid.paid_minor)
          FROM found i {JOIN_PAID} WHERE NOT size.is_large GROUP BY 1
      ) sums ON true
"""


def get_totals(
    session: Session,
    actor: Actor,
    *,
    customer: str | None = None,
    period: date | None = None,
    status: str | None = None,
    age: str | None = None,
    currency: str | None = None,
    search: str | None = None,
) -> InvoiceTotals | None:
    """The totals of all that `list_invoices` would list.

    Of now for 10,000 invoices at most; beyond, as of the last count in the background, which knows all
    but customer and search: None for more invoices of these, and before the first count. Raises NotFound (`customer_not_found`), Invalid.
    """
    require(actor, Permission.READ)
    conditions, parameters = chosen(
        session,
        customer=customer,
        period=period,
        status=status,
        age=age,
        currency=currency,
        search=search,
    )
    parameters |= {"most": SUMMED_MAX, "limit": SUMMED_MAX + 1}
    with driver_cursor(session) as db:
        rows = db.execute(_SUMS.format(chosen=" AND ".join(conditions)), parameters).fetchall()
    if not rows[0][0]:
        return InvoiceTotals(now(session), _totals(sums for _, *sums in rows if sums[0]))
    return None if customer or search else _counted(session, period, status, age, currency)


def _counted(
    session: Session, period: date | None, status: str | None, age: str | None, currency: str | None
) -> InvoiceTotals | None:
    kept = session.scalar(select(DashboardFigures))
    if kept is None:
        return None
    rows = (
        (of_currency, count, total, outstanding)
        for found, of_currency, state, days_from, count, total, outstanding in kept.document["invoices"]
        if (period is None or found == period.isoformat())
        and currency in (None, of_currency)
        and _is_chosen(state, status)
        and (age is None or (state != "paid" and days_from == find_age(age).days_from))
    )
    return InvoiceTotals(kept.as_of, _totals(rows))


def _is_chosen(state: str, status: str | None) -> bool:
    """Whether an invoice in this state is among those of a status that is asked for."""
    return status is None or (state != "paid" if status == "outstanding" else state == status)


def _totals(rows: Iterable[tuple[object, ...]]) -> tuple[CurrencyTotals, ...]:
    """The sums by currency, without those that have no invoice."""
    sums: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    for currency, *amounts in rows:
        sums[str(currency)] = [
            so_far + int(str(amount)) for so_far, amount in zip(sums[str(currency)], amounts, strict=True)
        ]
    return tuple(CurrencyTotals(currency, *found) for currency, found in sorted(sums.items()) if found[0])
