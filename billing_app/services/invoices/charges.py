"""What customers owe for one billing period, from events, plans and nothing else.

Invoices, previews and the verification all ask here, for one customer or for thousands: a fixed
number of statements, whatever the number of customers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from psycopg import Cursor

from billing_app.domain.money import EXACT
from billing_app.domain.periods import bounds
from billing_app.domain.rating import ZERO, LateUsage, Line, invoice_lines
from billing_app.services.plans.plan_in_effect import CustomerMonth, as_columns, read_plans_in_effect


def compute_lines(
    db: Cursor[Any], period_start: date, customer_ids: Sequence[int]
) -> dict[int, tuple[Line, ...]]:
    """The invoice lines of each customer for the period; empty where there is nothing to invoice."""
    late = _late_usage(db, period_start, customer_ids)
    plans = read_plans_in_effect(
        db,
        [
            *((customer_id, period_start) for customer_id in customer_ids),
            *((customer_id, each[0]) for customer_id, found in late.items() for each in found),
        ],
    )
    own = _own_quantities(db, period_start, customer_ids)
    return {
        customer_id: invoice_lines(
            plans.get((customer_id, period_start)),
            period_start,
            own.get(customer_id, ZERO),
            [
                LateUsage(month, plans[customer_id, month], before, after)
                for month, before, after in late.get(customer_id, ())
            ],
        )
        for customer_id in customer_ids
    }


def _own_quantities(db: Cursor[Any], period_start: date, customer_ids: Sequence[int]) -> dict[int, Decimal]:
    """What each customer used in the period itself."""
    db.execute(
        "SELECT customer_id, sum(quantity) FROM usage_event"
        " WHERE billing_period = %s AND customer_id = ANY(%s) AND occurred_at >= %s GROUP BY 1",
        [period_start, list(customer_ids), bounds(period_start)[0]],
    )
    return dict(db.fetchall())


def _late_usage(
    db: Cursor[Any], period_start: date, customer_ids: Sequence[int]
) -> dict[int, list[tuple[date, Decimal, Decimal]]]:
    """For each customer the earlier months billed in the period: total before, total now."""
    db.execute(
        "SELECT customer_id, date_trunc('month', occurred_at AT TIME ZONE 'UTC')::date, sum(quantity)"
        " FROM usage_event"
        " WHERE billing_period = %s AND customer_id = ANY(%s) AND occurred_at < %s"
        " GROUP BY 1, 2 ORDER BY 1, 2",
        [period_start, list(customer_ids), bounds(period_start)[0]],
    )
    arrived = db.fetchall()
    before = _billed_before(db, period_start, [(row[0], row[1]) for row in arrived])
    late = defaultdict(list)
    for customer_id, month, quantity in arrived:
        already = before.get((customer_id, month), ZERO)
        late[customer_id].append((month, already, EXACT.add(already, quantity)))
    return late


def _billed_before(
    db: Cursor[Any], period_start: date, months: Sequence[CustomerMonth]
) -> dict[CustomerMonth, Decimal]:
    """The quantity of each usage month that is billed in periods before this one."""
    if not months:
        return {}
    customer_ids, usage_months = as_columns(months)
    # One index range for each period in which the month may have been billed; summed within the
    # lateral part, which keeps the planner from reading all of the customer's periods.
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
