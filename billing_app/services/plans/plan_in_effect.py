"""The plan in effect on a day, as SQL: the newest subscription row up to that day.

`domain.days.segments_in` has the same rule in Python. It is defined nowhere else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

from psycopg import Cursor

from billing_app.domain.days import Segment, segments_in
from billing_app.domain.terms import Plan
from billing_app.services.plans.terms import read_plans

CustomerMonth = tuple[int, date]
"""A customer's id and a period."""
SegmentReader = Callable[[Cursor[Any], Iterable[CustomerMonth]], Mapping[CustomerMonth, tuple[Segment, ...]]]
"""Returns the segments of each (customer, month) that has a day with a plan, as `read_segments` does."""


def plan_in_effect(customer_id: str, day: str) -> str:
    """Return a subquery with the `plan_id` in effect for one customer on one day.

    Use it as a value or in a `LEFT JOIN LATERAL`. It has no row before the customer's first day, and
    a null `plan_id` after a cancellation. Takes SQL expressions, never values from callers.
    """
    return _in_effect("subscription.plan_id", customer_id, day)


def subscription_in_effect(customer_id: str, day: str) -> str:
    """Return a subquery with `plan_id` and `effective_from`, the day since when that plan is in effect."""
    return _in_effect("subscription.plan_id, subscription.effective_from", customer_id, day)


def _in_effect(columns: str, customer_id: str, day: str) -> str:
    return f"""(
        SELECT {columns} FROM subscription
        WHERE subscription.customer_id = {customer_id} AND subscription.effective_from <= {day}
        ORDER BY subscription.effective_from DESC LIMIT 1
    )"""


def plans_in_effect(day: str) -> str:
    """Return a subquery with `customer_id` and `plan_id` of every customer on one day.

    The same rule as `plan_in_effect`, written to be fast for all customers at once: it reads the primary key
    backwards, so nothing is sorted and no row is read twice.
    """
    return f"""(
        SELECT DISTINCT ON (customer_id) customer_id, plan_id FROM subscription
        WHERE effective_from <= {day} ORDER BY customer_id DESC, effective_from DESC
    )"""


def has_plan_in(customer_id: str, month: str) -> str:
    """Return a condition: the customer has a plan on at least one day of the month that starts on this day."""
    return f"""(
        {plan_in_effect(customer_id, month)} IS NOT NULL OR EXISTS (
            SELECT FROM subscription
            WHERE subscription.customer_id = {customer_id} AND subscription.plan_id IS NOT NULL
              AND subscription.effective_from > {month}
              AND subscription.effective_from < {month} + interval '1 month'
        )
    )"""


# The row in effect on the month's first day, and those that start later in the month.
_CHANGES = f"""
    SELECT asked.customer_id, asked.month, changes.effective_from, changes.plan_id
    FROM unnest(%s::bigint[], %s::date[]) AS asked(customer_id, month)
    CROSS JOIN LATERAL (
        SELECT asked.month AS effective_from, first.plan_id
        FROM {plan_in_effect("asked.customer_id", "asked.month")} first
        UNION ALL
        SELECT s.effective_from, s.plan_id FROM subscription s
        WHERE s.customer_id = asked.customer_id AND s.effective_from > asked.month
          AND s.effective_from < asked.month + interval '1 month'
    ) changes
    ORDER BY 1, 2, 3
"""


def read_segments(
    db: Cursor[Any], months: Iterable[CustomerMonth]
) -> Mapping[CustomerMonth, tuple[Segment, ...]]:
    """Return the segments of each (customer, month) that has a day with a plan."""
    db.execute(_CHANGES, as_columns(months))
    rows = db.fetchall()
    plans = read_plans(db, {plan_id for *_, plan_id in rows if plan_id is not None})
    changes: defaultdict[CustomerMonth, list[tuple[date, Plan | None]]] = defaultdict(list)
    for customer_id, month, effective_from, plan_id in rows:
        changes[customer_id, month].append((effective_from, plans.get(plan_id)))
    # Most customers have one plan for the whole month, and segments are compared less often if they are shared.
    whole = {}
    found = {}
    for (customer_id, month), rows_of_month in changes.items():
        if len(rows_of_month) == 1 and rows_of_month[0][1] and rows_of_month[0][0] == month:
            key = (month, rows_of_month[0][1].plan_id)
            if key not in whole:
                whole[key] = segments_in(month, rows_of_month)
            found[customer_id, month] = whole[key]
        elif segments := segments_in(month, rows_of_month):
            found[customer_id, month] = segments
    return found


def as_columns(months: Iterable[CustomerMonth]) -> tuple[list[int], list[date]]:
    """Turn (customer, month) pairs into one list per column, for `unnest`."""
    pairs = list(months)
    return [customer_id for customer_id, _ in pairs], [month for _, month in pairs]
