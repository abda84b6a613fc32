"""Compute what customers owe for one billing period, from events, plans and discounts alone.

Invoices, previews and verifications all call this, for one customer or for thousands, with a fixed
number of statements. Unguarded: callers have checked their permission.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from psycopg import Cursor

from billing_app.domain.bill import month_terms
from billing_app.domain.lines import Line, MonthUsage, late_lines, month_lines, one_off_line
from billing_app.services.adjustments.queries import read_discounts, read_items
from billing_app.services.invoices.month_usage import (
    find_late_months,
    read_aggregations,
    read_late_usage,
    read_own_usage,
)
from billing_app.services.plans.plan_in_effect import SegmentReader, read_segments

_NO_USAGE = MonthUsage({})


def compute_lines(
    db: Cursor[Any],
    period_start: date,
    customer_ids: Sequence[int],
    read_segments: SegmentReader = read_segments,
) -> dict[int, tuple[Line, ...]]:
    """Return each customer's invoice lines for the period, empty if there is nothing to invoice.

    `read_segments` can return the segments of subscriptions that are not saved.
    """
    aggregations = read_aggregations(db)
    own_segments = read_segments(db, ((customer_id, period_start) for customer_id in customer_ids))
    own_usage = read_own_usage(db, period_start, own_segments, aggregations)
    discounts = read_discounts(db, customer_ids)
    lines: defaultdict[int, list[Line]] = defaultdict(list)
    for (customer_id, _), segments in own_segments.items():
        terms = month_terms(period_start, segments, discounts.get(customer_id, ()))
        lines[customer_id] += month_lines(terms, own_usage.get(customer_id, _NO_USAGE))
    late_months = find_late_months(db, period_start, customer_ids)
    late_segments = read_segments(db, late_months)
    late_usage = read_late_usage(db, period_start, late_segments, aggregations)
    for customer_id, month in late_months:
        terms = month_terms(month, late_segments[customer_id, month], discounts.get(customer_id, ()))
        lines[customer_id] += late_lines(terms, late_usage[customer_id, month])
    items = read_items(db, period_start, customer_ids)
    currencies = _read_currencies(db, items) if items else {}
    for customer_id, of_customer in items.items():
        lines[customer_id] += (one_off_line(item, currencies[customer_id]) for item in of_customer)
    return {customer_id: tuple(lines[customer_id]) for customer_id in customer_ids}


def _read_currencies(db: Cursor[Any], customer_ids: Iterable[int]) -> dict[int, str]:
    db.execute("SELECT customer_id, currency FROM customer WHERE customer_id = ANY(%s)", [list(customer_ids)])
    return dict(db.fetchall())
