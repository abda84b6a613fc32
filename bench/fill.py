"""Fill a database with customers and months of usage, in SQL for speed."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial

import psycopg

from bench.databases import Bench
from bench.measures import say
from bench.mixture import ADD_METERS, ITEMS
from billing_app.domain.periods import bounds, next_period

FIRST_MONTH = date(2026, 10, 1)
MONTHS = [FIRST_MONTH, date(2026, 11, 1), date(2026, 12, 1)]
# The events are stored in order of time, and consecutive ones belong to different customers: 7919 has no
# factor in common with any number of customers used here.
_STRIDE = 7919
# One event in this many occurred in the month before the one it is billed in.
_LATE_EVERY = 101


def add_customers(bench: Bench, customers: int) -> None:
    """Add customers 1 to n with the keys `customer-<n>`, on ten plans, with October 2026 as the first open month."""
    with bench.superuser() as db:
        db.execute(
            "WITH made AS ("
            " INSERT INTO plan (name, version, currency, monthly_price_minor, charge_count, tier_count, created_at)"
            " SELECT 'Plan ' || n, 1, 'USD', 1900 + n * 1000, 1, 0, '2026-09-15'"
            " FROM generate_series(1, 10) AS n RETURNING plan_id, monthly_price_minor)"
            " INSERT INTO plan_charge (plan_id, position, meter_id, model, included_units, unit_price, tier_count)"
            " SELECT plan_id, 1, 1, 'per_unit', div(monthly_price_minor - 1900, 20), 0.0125, 0 FROM made"
        )
        db.execute(
            "INSERT INTO customer"
            " (key, name, email, email_key, billing_address, currency, created_at, version)"
            " SELECT 'customer-' || n, 'Customer ' || n, 'billing@customer-' || n || '.test',"
            "        'billing@customer-' || n || '.test',"
            "        n || ' Main Street' || chr(10) || '10115 Berlin', 'USD', '2026-09-15', 1"
            " FROM generate_series(1, %s) AS n",
            [customers],
        )
        db.execute(
            "INSERT INTO customer_billing (customer_id, closed_through, settled_through, last_number)"
            " SELECT customer_id, '2026-09-01', '2026-09-01', 0 FROM customer"
        )
        db.execute(
            "INSERT INTO subscription (customer_id, effective_from, plan_id, currency)"
            " SELECT customer_id, %s, 1 + customer_id %% 10, 'USD' FROM customer",
            [FIRST_MONTH],
        )
        db.execute("UPDATE issuer SET name = 'Bench', address = 'Somewhere', email = 'bench@bench.test'")
        db.execute("VACUUM (ANALYZE)")


def add_events(
    bench: Bench, customers: int, a_month: int, months: Sequence[date] = MONTHS, meter_id: str = "1"
) -> None:
    """Add this many events to each of the months on two connections, then VACUUM and ANALYZE.

    From the second month on, one event in a hundred is late: it occurred in the previous month. `meter_id` is
    an expression in SQL of the event's number `n` and its `customer_id`.
    """
    half = a_month // 2
    with ThreadPoolExecutor(2) as pool:
        for number, month in enumerate(months):
            first = number * a_month
            spans = [(first, first + half), (first + half, first + a_month)]
            add = partial(_add_span, bench, customers, month, a_month, meter_id)
            list(pool.map(lambda span, add=add: add(*span), spans))
            say(f"filled {month:%Y-%m} with {a_month:,} events")
    with bench.superuser() as db:
        db.execute("VACUUM (ANALYZE) usage_event")


def add_audit_entries(bench: Bench, customers: int, entries: int) -> None:
    """Add audit entries, one a minute up to the last month's end, by three users about every customer."""
    with bench.superuser() as db:
        db.execute(
            "INSERT INTO audit_entry (at, actor_id, actor_name, action, subject, details)"
            " SELECT %(end)s - (%(entries)s - n) * interval '1 minute', 'usr_' || 1 + n %% 3,"
            "        'Person ' || 1 + n %% 3, 'customer.changed', 'cus_' || 1 + n * %(stride)s %% %(customers)s,"
            "        jsonb_build_object('name', 'Customer ' || n)"
            " FROM generate_series(1, %(entries)s::bigint) AS n",
            {
                "end": bounds(FIRST_MONTH)[0], "entries": entries, "customers": customers, "stride": _STRIDE,
            },
        )  # fmt: skip
        db.execute("VACUUM (ANALYZE) audit_entry")


def _add_span(
    bench: Bench, customers: int, month: date, a_month: int, meter_id: str, first: int, end: int
) -> None:
    length = (next_period(month) - month).total_seconds()
    with bench.superuser() as db:
        db.execute(
            f"""
            INSERT INTO usage_event (customer_id, idempotency_key, occurred_at, recorded_at,
                                     billing_period, quantity, recorded_by, meter_id, item)
            SELECT customer_id, 'event-' || lpad(n::text, 12, '0'),
                   CASE WHEN %(late)s AND n %% {_LATE_EVERY} = 0 THEN at - interval '1 month' ELSE at END,
                   at, %(month)s, CASE meter_id WHEN 3 THEN 1 ELSE (n %% 400) * 0.125 END, 'bench', meter_id,
                   CASE meter_id WHEN 3 THEN 'user ' || n / %(customers)s %% {ITEMS} END
            FROM generate_series(%(first)s::bigint, %(end)s::bigint - 1) AS n
            CROSS JOIN LATERAL (
                SELECT %(start)s + (n %% %(a_month)s) * %(step)s * interval '1 second' AS at,
                       1 + (n * {_STRIDE}) %% %(customers)s AS customer_id
            ) moment
            CROSS JOIN LATERAL (SELECT {meter_id} AS meter_id) metered
            """,
            {
                "customers": customers, "month": month, "late": month != FIRST_MONTH, "first": first, "end": end,
                "start": bounds(month)[0], "a_month": a_month, "step": length / a_month,
            },
        )  # fmt: skip


def add_variety(bench: Bench, customers: int) -> None:
    """Give every filter of the lists something to select: payments, credit, suspensions, customers without a plan.

    Older invoices are mostly paid and newer ones less often. A tenth is partially paid. A hundredth of the customers
    has credit, as many are suspended, and as many customers without a plan are added. Two meters have no usage yet,
    which is the slowest to look for.
    """
    with bench.superuser() as db:
        db.execute(ADD_METERS)
        for month, tenths_paid in zip(MONTHS, (8, 5, 2), strict=True):
            _add_payments(db, month, tenths_paid)
        db.execute(
            "INSERT INTO suspension (customer_id, started_at)"
            " SELECT customer_id, '2026-11-20' FROM customer WHERE customer_id % 100 = 50",
        )
        db.execute(
            "INSERT INTO customer"
            " (key, name, email, email_key, billing_address, currency, created_at, version)"
            " SELECT 'new-' || n, 'New ' || n, n || '@new.test', n || '@new.test', '', 'USD', '2026-11-25', 1"
            " FROM generate_series(1, %s) AS n",
            [customers // 100],
        )
        db.execute(
            "INSERT INTO customer_billing (customer_id, closed_through, settled_through, last_number)"
            " SELECT customer_id, '2026-10-01', '2026-10-01', 0 FROM customer WHERE key LIKE 'new-%'"
        )
        db.execute("UPDATE customer_billing SET credit_minor = 1000 WHERE customer_id % 100 = 60")
        for table in ("customer", "customer_billing", "payment", "suspension", "open_invoice", "invoice"):
            db.execute(f"VACUUM (ANALYZE) {table}")


def _add_payments(db: psycopg.Connection, month: date, tenths_paid: int) -> None:
    """Pay the month's invoices of so many tenths of the customers, and a part of those of another tenth."""
    values = {"month": month, "paid": tenths_paid}
    db.execute(
        "INSERT INTO payment (customer_id, period_start, amount_minor, received_on, method, reference,"
        "                     idempotency_key, recorded_at, recorded_by)"
        " SELECT customer_id, period_start, CASE WHEN customer_id %% 10 < %(paid)s THEN total_minor ELSE 100 END,"
        "        '2026-11-15', '', '', 'payment-' || period_start, '2026-11-15', 'bench'"
        " FROM invoice WHERE period_start = %(month)s AND customer_id %% 10 <= %(paid)s AND total_minor > 100",
        values,
    )
    # The triggers, which are off, do this one by one.
    db.execute(
        "UPDATE open_invoice SET paid_minor = 100"
        " WHERE period_start = %(month)s AND customer_id %% 10 = %(paid)s",
        values,
    )
    db.execute(
        "DELETE FROM open_invoice o USING payment p"
        " WHERE p.customer_id = o.customer_id AND p.period_start = o.period_start"
        "   AND o.period_start = %(month)s AND o.customer_id %% 10 < %(paid)s",
        values,
    )
