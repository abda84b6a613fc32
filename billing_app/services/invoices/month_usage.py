"""Sum the usage that invoices of one period charge, by meter and by segment of the usage month.

A fixed number of statements for one customer or for thousands. Unguarded: callers have checked their
permission.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from psycopg import Cursor

from billing_app.domain.bill import UsageKey
from billing_app.domain.days import Segment
from billing_app.domain.lines import MonthUsage
from billing_app.domain.periods import bounds, next_period, periods_between
from billing_app.domain.terms import Aggregation
from billing_app.services.invoices.corrections import find_corrected_customers, read_corrections
from billing_app.services.plans.plan_in_effect import CustomerMonth, as_columns

Segments = Mapping[CustomerMonth, tuple[Segment, ...]]


def read_aggregations(db: Cursor[Any]) -> dict[int, Aggregation]:
    """Return how each meter makes one quantity out of events, by its id."""
    db.execute("SELECT meter_id, aggregation FROM meter")
    return dict(db.fetchall())


def read_own_usage(
    db: Cursor[Any], period_start: date, segments: Segments, aggregations: Mapping[int, Aggregation]
) -> dict[int, MonthUsage]:
    """Sum what each of these customers used in the period itself.

    `segments` has the segments of each customer's period.
    """
    quantities: defaultdict[int, dict[UsageKey, Decimal]] = defaultdict(dict)
    # A month with days without a plan is divided as well: there may be events on them, corrected to zero.
    undivided = {key[0]: parts[0] for key, parts in segments.items() if _is_whole(period_start, parts)}
    divided = {key: parts for key, parts in segments.items() if key[0] not in undivided}
    rows = [
        (customer_id, undivided[customer_id].start, *sums)
        for customer_id, *sums in _sum_undivided(db, period_start, list(undivided))
    ]
    rows += _sum_segments(db, period_start, divided) if divided else []
    for customer_id, start, meter_id, added, largest in rows:
        of_customer = quantities[customer_id]
        aggregation = aggregations[meter_id]
        if aggregation == "sum":
            of_customer[UsageKey(meter_id, start)] = added
        elif aggregation == "max":
            key = UsageKey(meter_id, None)
            of_customer[key] = max(largest, of_customer.get(key, largest))
    if "unique" in aggregations.values():
        for customer_id, meter_id, items in _count_items(db, period_start, segments):
            quantities[customer_id][UsageKey(meter_id, None)] = items
    usage = {customer_id: MonthUsage(found) for customer_id, found in quantities.items()}
    corrected = find_corrected_customers(db, period_start, [customer_id for customer_id, _ in segments])
    months = {key: parts for key, parts in segments.items() if key[0] in corrected}
    if months:
        for (customer_id, _), found in read_corrections(db, period_start, months, aggregations).items():
            usage[customer_id] = found.applied_to(usage.get(customer_id, MonthUsage({})))
    return usage


def _is_whole(month: date, parts: tuple[Segment, ...]) -> bool:
    return len(parts) == 1 and parts[0].start == month and parts[0].end == next_period(month)


def _sum_undivided(db: Cursor[Any], period_start: date, customer_ids: Sequence[int]) -> Iterable[Any]:
    """Sum the months that are one segment, by customer and meter, in the order of the billing index."""
    db.execute(
        "SELECT customer_id, meter_id, sum(quantity), max(quantity) FROM usage_event"
        " WHERE billing_period = %s AND customer_id = ANY(%s) AND occurred_at >= %s GROUP BY 1, 2",
        [period_start, customer_ids, bounds(period_start)[0]],
    )
    return db.fetchall()


def _sum_segments(db: Cursor[Any], period_start: date, segments: Segments) -> list[Any]:
    """Sum months with several segments, by customer, segment and meter."""
    parts = [(customer_id, part) for (customer_id, _), found in segments.items() for part in found]
    db.execute(
        """
        SELECT s.customer_id, s.start, e.meter_id, sum(e.quantity), max(e.quantity)
        FROM unnest(%s::bigint[], %s::date[], %s::date[]) AS s(customer_id, start, finish)
        JOIN usage_event e ON e.customer_id = s.customer_id AND e.billing_period = %s
         AND e.occurred_at >= s.start::timestamp AT TIME ZONE 'UTC'
         AND e.occurred_at < s.finish::timestamp AT TIME ZONE 'UTC'
        GROUP BY 1, 2, 3
        """,
        [
            [customer_id for customer_id, _ in parts],
            [part.start for _, part in parts],
            [part.end for _, part in parts],
            period_start,
        ],
    )
    return db.fetchall()


def _count_items(db: Cursor[Any], period_start: date, segments: Segments) -> list[Any]:
    """Count the different items of each customer and meter. Days without a plan have no usage."""
    db.execute(
        "SELECT customer_id, meter_id, count(DISTINCT item)::numeric FROM usage_event"
        " WHERE billing_period = %s AND customer_id = ANY(%s) AND occurred_at >= %s AND item IS NOT NULL"
        " GROUP BY 1, 2",
        [period_start, [customer_id for customer_id, _ in segments], bounds(period_start)[0]],
    )
    return db.fetchall()


_LATE_MONTHS = """
    SELECT customer_id, date_trunc('month', occurred_at AT TIME ZONE 'UTC')::date FROM {table}
    WHERE billing_period = %(period)s AND customer_id = ANY(%(customer_ids)s) AND occurred_at < %(start)s
"""


def find_late_months(db: Cursor[Any], period_start: date, customer_ids: Sequence[int]) -> list[CustomerMonth]:
    """Return the earlier months of each customer of which the period bills events or corrections, oldest first."""
    db.execute(
        f"{_LATE_MONTHS.format(table='usage_event')} UNION {_LATE_MONTHS.format(table='usage_correction')}"
        " ORDER BY 1, 2",
        {"period": period_start, "customer_ids": list(customer_ids), "start": bounds(period_start)[0]},
    )
    return [(customer_id, month) for customer_id, month in db]


def has_late_usage_in(customer_id: str, month: str) -> str:
    """Return a condition: the month that starts on this day bills events or corrections of earlier months.

    Takes SQL expressions, never values from callers.
    """
    late = (
        f"SELECT FROM {{table}} late WHERE late.customer_id = {customer_id} AND late.billing_period = {month}"
        f" AND late.occurred_at < {month}::timestamp AT TIME ZONE 'UTC'"
    )
    return (
        f"(EXISTS ({late.format(table='usage_event')}) OR EXISTS ({late.format(table='usage_correction')}))"
    )


class _LateSum(NamedTuple):
    """The late usage of one segment and meter, billed up to and including the period, and before it.

    A largest quantity of None means that there was no event. `arrived` counts the events that the period
    bills.
    """

    customer_id: int
    month: date
    segment_start: date
    meter_id: int
    added: Decimal
    added_before: Decimal
    largest: Decimal
    largest_before: Decimal | None
    arrived: int


class _Months:
    """Late usage by month, as it is collected."""

    def __init__(self) -> None:
        self.now: defaultdict[CustomerMonth, dict[UsageKey, Decimal]] = defaultdict(dict)
        self.before: defaultdict[CustomerMonth, dict[UsageKey, Decimal]] = defaultdict(dict)
        self.arrived: defaultdict[CustomerMonth, set[UsageKey]] = defaultdict(set)

    def add(self, row: _LateSum, aggregation: Aggregation) -> None:
        """Add a sum. What different items it counts is not known from it."""
        month = (row.customer_id, row.month)
        key = UsageKey(row.meter_id, row.segment_start if aggregation == "sum" else None)
        if row.arrived:
            self.arrived[month].add(key)
        if aggregation == "sum":
            self.now[month][key], self.before[month][key] = row.added, row.added_before
        elif aggregation == "max":
            self.now[month][key] = max(row.largest, self.now[month].get(key, row.largest))
            if row.largest_before is not None:
                self.before[month][key] = max(
                    row.largest_before, self.before[month].get(key, row.largest_before)
                )

    def add_items(self, month: CustomerMonth, meter_id: int, items: Decimal, items_before: Decimal) -> None:
        """Add the number of different items of a whole month."""
        key = UsageKey(meter_id, None)
        self.now[month][key], self.before[month][key] = items, items_before

    def usage(self, month: CustomerMonth) -> MonthUsage:
        """Return what was collected of a month."""
        return MonthUsage(self.now[month], self.before[month], self.arrived[month])


def read_late_usage(
    db: Cursor[Any], period_start: date, segments: Segments, aggregations: Mapping[int, Aggregation]
) -> dict[CustomerMonth, MonthUsage]:
    """Sum the usage of earlier months that is billed up to the period, and what was billed before it."""
    if not segments:
        return {}
    months = _Months()
    for row in _sum_late_segments(db, period_start, segments):
        months.add(row, aggregations[row.meter_id])
    if "unique" in aggregations.values():
        for customer_id, month, *counts in _count_late_items(db, period_start, segments):
            months.add_items((customer_id, month), *counts)
    usage = {month: months.usage(month) for month in segments}
    for month, found in read_corrections(db, period_start, segments, aggregations).items():
        usage[month] = found.applied_to(usage[month])
    return usage


def read_known_usage(
    db: Cursor[Any],
    month: date,
    through: date,
    segments: Segments,
    aggregations: Mapping[int, Aggregation],
) -> dict[int, MonthUsage]:
    """Sum everything that each of these customers used in the month, billed up to the period `through`.

    `segments` has the segments of each customer's month. Only customers with late usage of the month are
    looked up in every later period.
    """
    customer_ids = [customer_id for customer_id, _ in segments]
    late = {
        customer_id
        for period in periods_between(next_period(month), next_period(through))
        for customer_id, late_month in find_late_months(db, period, customer_ids)
        if late_month == month
    }
    on_time = {key: parts for key, parts in segments.items() if key[0] not in late}
    usage = read_own_usage(db, month, on_time, aggregations)
    with_late = {key: parts for key, parts in segments.items() if key[0] in late}
    for (customer_id, _), found in read_late_usage(db, through, with_late, aggregations).items():
        usage[customer_id] = found
    return usage


# One index range for each period in which the month may have been billed. Summing inside the lateral
# subquery keeps the planner from reading all of the customer's periods.
_BILLED_IN = """
    CROSS JOIN LATERAL generate_series(m.month, %s::date, interval '1 month') AS p(period)
    CROSS JOIN LATERAL (
        SELECT {columns} FROM usage_event e
        WHERE e.customer_id = m.customer_id AND e.billing_period = p.period::date
          AND e.occurred_at >= m.start::timestamp AT TIME ZONE 'UTC'
          AND e.occurred_at < m.finish::timestamp AT TIME ZONE 'UTC' {also}
    ) billed
"""


def _sum_late_segments(db: Cursor[Any], period_start: date, segments: Segments) -> list[_LateSum]:
    parts = [(month, part) for month, found in segments.items() for part in found]
    customer_ids, months = as_columns(month for month, _ in parts)
    sums = "e.meter_id, sum(e.quantity) AS added, max(e.quantity) AS largest, count(*) AS events"
    db.execute(
        f"""
        SELECT m.customer_id, m.month, m.start, billed.meter_id,
               sum(billed.added),
               coalesce(sum(billed.added) FILTER (WHERE p.period < %s::date), 0),
               max(billed.largest),
               max(billed.largest) FILTER (WHERE p.period < %s::date),
               coalesce(sum(billed.events) FILTER (WHERE p.period = %s::date), 0)
        FROM unnest(%s::bigint[], %s::date[], %s::date[], %s::date[]) AS m(customer_id, month, start, finish)
        {_BILLED_IN.format(columns=sums, also="GROUP BY e.meter_id")}
        GROUP BY 1, 2, 3, 4
        """,
        [
            period_start,
            period_start,
            period_start,
            customer_ids,
            months,
            [part.start for _, part in parts],
            [part.end for _, part in parts],
            period_start,
        ],
    )
    return [_LateSum(*row) for row in db]


def _count_late_items(db: Cursor[Any], period_start: date, segments: Segments) -> list[Any]:
    """Count the different items of whole months: days without a plan have no usage."""
    customer_ids, months = as_columns(segments)
    db.execute(
        f"""
        SELECT m.customer_id, m.month, billed.meter_id, count(DISTINCT billed.item)::numeric,
               (count(DISTINCT billed.item) FILTER (WHERE p.period < %s::date))::numeric
        FROM (
            SELECT customer_id, month, month AS start, (month + interval '1 month')::date AS finish
            FROM unnest(%s::bigint[], %s::date[]) AS asked(customer_id, month)
        ) m
        {_BILLED_IN.format(columns="e.meter_id, e.item", also="AND e.item IS NOT NULL")}
        GROUP BY 1, 2, 3
        """,
        [period_start, customer_ids, months, period_start],
    )
    return db.fetchall()
