"""Sum the usage that invoices of one period charge, by meter and by segment of the usage month.

A fixed number of statements for one customer or for thousands. Unguarded: callers have checked their
permission.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
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


_BILLS_LATE_USAGE = """
    SELECT late.customer_id, late.billing_period
    FROM unnest(%(customer_ids)s::bigint[], %(periods)s::date[]) AS asked(customer_id, period)
    JOIN {table} late ON late.customer_id = asked.customer_id AND late.billing_period = asked.period
     AND late.occurred_at < asked.period::timestamp AT TIME ZONE 'UTC'
    GROUP BY 1, 2
"""


def find_periods_with_late_usage(db: Cursor[Any], periods: Collection[CustomerMonth]) -> set[CustomerMonth]:
    """Return those of these periods that bill events or corrections of earlier months."""
    if not periods:
        return set()
    customer_ids, starts = as_columns(periods)
    found: set[CustomerMonth] = set()
    for table in ("usage_event", "usage_correction"):
        db.execute(_BILLS_LATE_USAGE.format(table=table), {"customer_ids": customer_ids, "periods": starts})
        found.update(db)
    return found


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


# The events of parts of months, with one index range for each period in which they may have been billed.
_BILLED_PARTS = """
    unnest(%(customer_ids)s::bigint[], %(months)s::date[], %(starts)s::date[], %(ends)s::date[],
           %(periods)s::date[]) AS m(customer_id, month, start, finish, period)
    JOIN usage_event e ON e.customer_id = m.customer_id AND e.billing_period = m.period
     AND e.occurred_at >= m.start::timestamp AT TIME ZONE 'UTC'
     AND e.occurred_at < m.finish::timestamp AT TIME ZONE 'UTC'
"""


def _billed_parts(through: date, parts: Iterable[tuple[CustomerMonth, date, date]]) -> dict[str, object]:
    """Return the parameters of `_BILLED_PARTS`, for parts of months from their first day to their end."""
    rows = [
        (customer_id, month, start, end, period)
        for (customer_id, month), start, end in parts
        for period in periods_between(month, next_period(through))
    ]
    names = ("customer_ids", "months", "starts", "ends", "periods")
    return {"through": through, **{name: [row[place] for row in rows] for place, name in enumerate(names)}}


def _sum_late_segments(db: Cursor[Any], period_start: date, segments: Segments) -> list[_LateSum]:
    db.execute(
        f"""
        SELECT customer_id, month, start, meter_id,
               sum(added),
               coalesce(sum(added) FILTER (WHERE billing_period < %(through)s), 0),
               max(largest),
               max(largest) FILTER (WHERE billing_period < %(through)s),
               coalesce(sum(events) FILTER (WHERE billing_period = %(through)s), 0)
        FROM (
            SELECT e.customer_id, m.month, m.start, e.billing_period, e.meter_id,
                   sum(e.quantity) AS added, max(e.quantity) AS largest, count(*) AS events
            FROM {_BILLED_PARTS} GROUP BY 1, 2, 3, 4, 5
        ) billed
        GROUP BY 1, 2, 3, 4
        """,
        _billed_parts(
            period_start,
            ((month, each.start, each.end) for month, found in segments.items() for each in found),
        ),
    )
    return [_LateSum(*row) for row in db]


def _count_late_items(db: Cursor[Any], period_start: date, segments: Segments) -> list[Any]:
    """Count the different items of whole months: days without a plan have no usage."""
    db.execute(
        f"""
        SELECT e.customer_id, m.month, e.meter_id, count(DISTINCT e.item)::numeric,
               (count(DISTINCT e.item) FILTER (WHERE e.billing_period < %(through)s))::numeric
        FROM {_BILLED_PARTS} AND e.item IS NOT NULL GROUP BY 1, 2, 3
        """,
        _billed_parts(period_start, ((key, key[1], next_period(key[1])) for key in segments)),
    )
    return db.fetchall()
