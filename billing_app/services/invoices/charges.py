"""Compute what customers owe for one billing period, from events and plans alone.

Invoices, previews and verifications all call this, for one customer or for thousands, with a fixed
number of statements. Unguarded: callers have checked their permission.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from psycopg import Cursor

from billing_app.domain.money import EXACT
from billing_app.domain.periods import bounds
from billing_app.domain.rating import ZERO, LateUsage, Line, invoice_lines
from billing_app.services.plans.plan_in_effect import CustomerMonth, as_columns, read_plans_in_effect


class _LateQuantity(NamedTuple):
    """A usage month with late usage: its quantity billed before the period, and up to and including it."""

    usage_period: date
    before: Decimal
    after: Decimal


def compute_lines(
    db: Cursor[Any], period_start: date, customer_ids: Sequence[int]
) -> dict[int, tuple[Line, ...]]:
    """Return each customer's invoice lines for the period, empty if there is nothing to invoice."""
    late = _sum_late_usage(db, period_start, customer_ids)
    plans = read_plans_in_effect(
        db,
        [
            *((customer_id, period_start) for customer_id in customer_ids),
            *((customer_id, month.usage_period) for customer_id, months in late.items() for month in months),
        ],
    )
    quantities = _sum_own_usage(db, period_start, customer_ids)
    return {
        customer_id: invoice_lines(
            plans.get((customer_id, period_start)),
            period_start,
            quantities.get(customer_id, ZERO),
            [
                LateUsage(
                    usage_period=month.usage_period,
                    plan=plans[customer_id, month.usage_period],
                    quantity_before=month.before,
                    quantity_after=month.after,
                )
                for month in late.get(customer_id, ())
            ],
        )
        for customer_id in customer_ids
    }


def _sum_own_usage(db: Cursor[Any], period_start: date, customer_ids: Sequence[int]) -> dict[int, Decimal]:
    """Sum what each customer used in the period itself."""
    db.execute(
        "SELECT customer_id, sum(quantity) FROM usage_event"
        " WHERE billing_period = %s AND customer_id = ANY(%s) AND occurred_at >= %s GROUP BY 1",
        [period_start, list(customer_ids), bounds(period_start)[0]],
    )
    return dict(db.fetchall())


def _sum_late_usage(
    db: Cursor[Any], period_start: date, customer_ids: Sequence[int]
) -> dict[int, list[_LateQuantity]]:
    """Sum the usage of earlier months that is billed in the period, for each customer."""
    db.execute(
        "SELECT customer_id, date_trunc('month', occurred_at AT TIME ZONE 'UTC')::date, sum(quantity)"
        " FROM usage_event"
        " WHERE billing_period = %s AND customer_id = ANY(%s) AND occurred_at < %s"
        " GROUP BY 1, 2 ORDER BY 1, 2",
        [period_start, list(customer_ids), bounds(period_start)[0]],
    )
    arrived = db.fetchall()
    billed_before = _sum_billed_before(db, period_start, [(row[0], row[1]) for row in arrived])
    late = defaultdict(list)
    for customer_id, usage_period, quantity in arrived:
        before = billed_before.get((customer_id, usage_period), ZERO)
        late[customer_id].append(_LateQuantity(usage_period, before, EXACT.add(before, quantity)))
    return late


def _sum_billed_before(
    db: Cursor[Any], period_start: date, months: Sequence[CustomerMonth]
) -> dict[CustomerMonth, Decimal]:
    """Sum the quantity of each usage month that is billed in periods before this one."""
    if not months:
        return {}
    customer_ids, usage_months = as_columns(months)
    # One index range for each period in which the month may have been billed. Summing inside the
    # lateral subquery keeps the planner from reading all of the customer's periods.
    db.execute(
        """
        SELECT m.customer_id, m.month, sum(billed.quantity)
        FROM unnest(%s::bigint[], %s::date[]) AS m(customer_id, month)
        CROSS JOIN LATERAL
            generate_series(m.month, %s::date - interval '1 month', interval '1 month') AS p(period)
        CROSS JOIN LATERAL (
            SELECT sum(e.quantity) AS quantity FROM usage_event e
            WHERE e.customer_id = m.customer_id AND e.billing_period = p.period::date
              AND e.occurred_at >= m.month::timestamp AT TIME ZONE 'UTC'
              AND e.occurred_at < (m.month + interval '1 month') AT TIME ZONE 'UTC'
        ) billed
        GROUP BY 1, 2 HAVING sum(billed.quantity) IS NOT NULL
        """,
        [customer_ids, usage_months, period_start],
    )
    return {(customer_id, month): quantity for customer_id, month, quantity in db}
