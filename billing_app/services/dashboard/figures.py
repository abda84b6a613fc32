"""Count the figures for the dashboard and for sorting lists. Unguarded, for `jobs.figures`.

Every count starts from scratch: it reads all events, invoices and payments in the caller's one snapshot. So
an event whose transaction committed late is in the next count.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from datetime import date, datetime
from typing import Any

from psycopg import Cursor
from psycopg.types.json import Jsonb
from sqlmodel import Session

from billing_app.database.session import driver_cursor, now
from billing_app.domain.periods import bounds, period_of, previous_period
from billing_app.domain.terms import Aggregation
from billing_app.services.dashboard.document import (
    CreditGroup,
    CustomerGroup,
    FiguresDocument,
    InvoiceGroup,
    LargestCustomer,
    RevenueGroup,
)
from billing_app.services.dashboard.usage_figures import (
    FIRST_METERS,
    read_unpriced,
    read_usage,
    usage_by_customer,
)
from billing_app.services.invoices.status_sql import age_case, status_case
from billing_app.services.payments.queries import STANDING_PAYMENTS
from billing_app.services.plans.meter_queries import read_all_meters
from billing_app.services.plans.plan_in_effect import plans_in_effect
from billing_app.services.usage.counted_sql import meters_by_aggregation

MONTHS_OF_REVENUE = 12
LARGEST = 10

# One pass over the invoices gives each customer's figures and the number of invoices by period, payment
# status (as in `domain.invoice.payment_status`) and days past due.
_INVOICES = f"""
    WITH paid AS (
        SELECT customer_id, period_start, sum(amount_minor) AS paid_minor
          FROM {STANDING_PAYMENTS} standing GROUP BY 1, 2
    ), owed AS MATERIALIZED (
        SELECT i.customer_id, i.currency, i.period_start, i.total_minor,
               greatest(i.total_minor - coalesce(p.paid_minor, 0), 0) AS balance_minor,
               {status_case(total="i.total_minor", paid="coalesce(p.paid_minor, 0)", due_on="i.due_on")} AS status,
               {age_case("i.due_on")} AS days_from
          FROM invoice i LEFT JOIN paid p USING (customer_id, period_start)
    ), owing AS (
        SELECT customer_id, sum(balance_minor) AS outstanding_minor,
               sum(balance_minor) FILTER (WHERE status = 'overdue') AS overdue_minor,
               sum(total_minor) FILTER (WHERE period_start >= %(first)s) AS invoiced_minor
          FROM owed GROUP BY 1
    ), first AS (
        {FIRST_METERS}
    ), used AS MATERIALIZED (
        {{used}}
    ), counted AS (
        SELECT c.customer_id, %(month)s::date AS month, m.meter_id, coalesce(u.quantity, 0) AS usage_quantity,
               coalesce(o.outstanding_minor, 0) AS outstanding_minor,
               coalesce(o.overdue_minor, 0) AS overdue_minor, coalesce(o.invoiced_minor, 0) AS invoiced_minor
          FROM customer c LEFT JOIN first m USING (customer_id) LEFT JOIN owing o USING (customer_id)
          LEFT JOIN used u ON u.customer_id = c.customer_id AND u.meter_id = m.meter_id
    ), kept AS (
        -- Unchanged rows are left out first, because ON CONFLICT would lock, and so write, each of them.
        INSERT INTO customer_figures AS f
            (customer_id, month, meter_id, usage_quantity, outstanding_minor, overdue_minor, invoiced_minor)
        SELECT n.* FROM counted n LEFT JOIN customer_figures f USING (customer_id)
         WHERE f.customer_id IS NULL
            OR (f.month, f.meter_id, f.usage_quantity, f.outstanding_minor, f.overdue_minor, f.invoiced_minor)
               IS DISTINCT FROM
               (n.month, n.meter_id, n.usage_quantity, n.outstanding_minor, n.overdue_minor, n.invoiced_minor)
        ON CONFLICT (customer_id) DO UPDATE
           SET month = excluded.month, meter_id = excluded.meter_id,
               usage_quantity = excluded.usage_quantity, outstanding_minor = excluded.outstanding_minor,
               overdue_minor = excluded.overdue_minor, invoiced_minor = excluded.invoiced_minor
    )
    SELECT period_start, currency, status, days_from, count(*), sum(total_minor), sum(balance_minor)
      FROM owed GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
"""

_LARGEST = """
    SELECT currency, key, name, invoiced_minor FROM (
        SELECT c.currency, c.key, c.name, f.invoiced_minor,
               row_number() OVER (PARTITION BY c.currency ORDER BY f.invoiced_minor DESC, c.customer_id) AS place
          FROM customer_figures f JOIN customer c USING (customer_id) WHERE f.invoiced_minor > 0
    ) ranked WHERE place <= %(largest)s ORDER BY currency, place
"""

_REVENUE = """
    SELECT l.period_start, c.currency, l.kind, sum(l.amount_minor)
      FROM invoice_line l JOIN customer c USING (customer_id)
     WHERE l.period_start >= %(first)s GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

# Customers by whether they have a plan today (UTC), and whether they are suspended.
_CUSTOMERS = f"""
    SELECT c.currency, s.plan_id IS NOT NULL AS subscribed, x.customer_id IS NOT NULL AS suspended,
           count(*), coalesce(sum(p.monthly_price_minor), 0)
      FROM customer c
      LEFT JOIN {plans_in_effect("%(today)s")} s USING (customer_id)
      LEFT JOIN plan p USING (plan_id)
      LEFT JOIN suspension x ON x.customer_id = c.customer_id AND x.ended_at IS NULL
     GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
"""

_CREDITS = """
    SELECT c.currency, count(*), sum(b.credit_minor)
      FROM customer_billing b JOIN customer c USING (customer_id)
     WHERE b.credit_minor > 0 GROUP BY 1 ORDER BY 1
"""

_STORE = """
    INSERT INTO dashboard_figures (figures_id, as_of, seconds, document)
    VALUES (1, %(as_of)s, %(seconds)s, %(document)s)
    ON CONFLICT (figures_id) DO UPDATE
       SET as_of = excluded.as_of, seconds = excluded.seconds, document = excluded.document
"""


def count_figures(session: Session, on_progress: Callable[[str], None] = lambda step: None) -> datetime:
    """Count everything as of the transaction's time, and return that time.

    The transaction must be one snapshot (REPEATABLE READ), and no other process may be counting.
    """
    started, as_of = time.monotonic(), now(session)
    aggregations = {meter_id: meter.aggregation for meter_id, meter in read_all_meters(session).items()}
    values = _parameters(as_of) | meters_by_aggregation(aggregations)
    with driver_cursor(session) as db:
        # Keeps a month's groups in memory. With the default setting they spill to disk.
        db.execute("SET LOCAL work_mem = '32MB'")
        document = _count(db, values, set(aggregations.values()), on_progress)
        seconds = time.monotonic() - started
        db.execute(_STORE, {"as_of": as_of, "seconds": seconds, "document": Jsonb(document.as_json())})
    return as_of


def _count(
    db: Cursor[Any],
    values: Mapping[str, Any],
    aggregations: Collection[Aggregation],
    on_progress: Callable[[str], None],
) -> FiguresDocument:
    def read(name: str, query: str) -> list[tuple[Any, ...]]:
        rows = db.execute(query, values).fetchall()
        on_progress(name)
        return rows

    invoices = read("invoices", _INVOICES.format(used=usage_by_customer(aggregations)))
    usage = read_usage(db, values, aggregations)
    on_progress("usage")
    unpriced = read_unpriced(db, values, {each.meter_id for each in usage.months})
    on_progress("unpriced")
    return FiguresDocument(
        month=values["month"],
        invoices=tuple(InvoiceGroup(*row) for row in invoices),
        # Must follow the invoices: it reads the figures of each customer that their query stored.
        largest=tuple(LargestCustomer(*row) for row in read("largest", _LARGEST)),
        revenue=tuple(RevenueGroup(*row) for row in read("revenue", _REVENUE)),
        customers=tuple(CustomerGroup(*row) for row in read("customers", _CUSTOMERS)),
        usage=usage.days,
        usage_months=usage.months,
        unpriced=unpriced,
        credits=tuple(CreditGroup(*row) for row in read("credits", _CREDITS)),
    )


def _parameters(as_of: datetime) -> dict[str, Any]:
    month = period_of(as_of)
    start, end = bounds(month)
    return {
        "today": as_of.date(),
        "month": month,
        "start": start,
        "end": end,
        "last_month": previous_period(month),
        "last_start": bounds(previous_period(month))[0],
        "elapsed": as_of - start,
        "first": months_of_revenue(month)[0],
        "largest": LARGEST,
    }


def months_of_revenue(month: date) -> list[date]:
    """Return the twelve months before the given one, oldest first."""
    months = [previous_period(month)]
    while len(months) < MONTHS_OF_REVENUE:
        months.insert(0, previous_period(months[0]))
    return months
