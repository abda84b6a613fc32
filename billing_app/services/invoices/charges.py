"""Compute what customers owe for one billing period, from events, plans and discounts alone.

Invoices, previews and verifications all call this, for one customer or for thousands, with a fixed
number of statements. Unguarded: callers have checked their permission.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from typing import Any

from psycopg import Cursor

from billing_app.domain.bill import MonthTerms
from billing_app.domain.lines import Line, MonthUsage, late_lines, month_lines
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
    lines: defaultdict[int, list[Line]] = defaultdict(list)
    for (customer_id, _), segments in own_segments.items():
        terms = MonthTerms(period_start, segments)
        lines[customer_id] += month_lines(terms, own_usage.get(customer_id, _NO_USAGE))
    late_months = find_late_months(db, period_start, customer_ids)
    late_segments = read_segments(db, late_months)
    late_usage = read_late_usage(db, period_start, late_segments, aggregations)
    for customer_id, month in late_months:
        terms = MonthTerms(month, late_segments[customer_id, month])
        lines[customer_id] += late_lines(terms, late_usage[customer_id, month])
    return {customer_id: tuple(lines[customer_id]) for customer_id in customer_ids}
