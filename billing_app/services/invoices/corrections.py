"""What corrections change of the usage that invoices of one period charge.

Corrections of meters that add up are added to the sums of events as differences. For the other meters, the
quantity of a whole month is made again from its events, each with its newest correction that is billed so
far; only of the months and meters that have a correction. Unguarded: callers have checked their permission.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from psycopg import Cursor

from billing_app.domain.bill import UsageKey
from billing_app.domain.days import Segment
from billing_app.domain.lines import MonthUsage
from billing_app.domain.money import EXACT
from billing_app.domain.periods import bounds
from billing_app.domain.pricing import ZERO
from billing_app.domain.terms import Aggregation
from billing_app.services.plans.plan_in_effect import CustomerMonth, as_columns


class MonthCorrections:
    """What corrections change of one month's usage, billed up to the period and before it.

    `billed` names the usage of which the period bills a correction.
    """

    def __init__(self) -> None:
        self.added: defaultdict[UsageKey, Decimal] = defaultdict(lambda: ZERO)
        self.added_before: defaultdict[UsageKey, Decimal] = defaultdict(lambda: ZERO)
        self.restated: dict[UsageKey, Decimal] = {}
        self.restated_before: dict[UsageKey, Decimal] = {}
        self.billed: set[UsageKey] = set()

    def applied_to(self, usage: MonthUsage) -> MonthUsage:
        """Return the usage of the month's events with the corrections."""
        return MonthUsage(
            {**usage.now, **_sums(usage.now, self.added), **self.restated},
            {**usage.before, **_sums(usage.before, self.added_before), **self.restated_before},
            usage.arrived | self.billed,
            usage.corrected | self.billed,
        )


def _sums(
    quantities: Mapping[UsageKey, Decimal], added: Mapping[UsageKey, Decimal]
) -> dict[UsageKey, Decimal]:
    return {key: EXACT.add(quantities.get(key, ZERO), difference) for key, difference in added.items()}


def find_corrected_customers(db: Cursor[Any], period_start: date, customer_ids: Sequence[int]) -> set[int]:
    """Return the customers with a correction of the period's own usage that is billed in it."""
    db.execute(
        "SELECT DISTINCT customer_id FROM usage_correction"
        " WHERE billing_period = %s AND customer_id = ANY(%s) AND occurred_at >= %s",
        [period_start, list(customer_ids), bounds(period_start)[0]],
    )
    return {customer_id for (customer_id,) in db}


def read_corrections(
    db: Cursor[Any],
    period_start: date,
    segments: Mapping[CustomerMonth, tuple[Segment, ...]],
    aggregations: Mapping[int, Aggregation],
) -> dict[CustomerMonth, MonthCorrections]:
    """Return what corrections change of each of these months that has any, billed up to the period."""
    found: defaultdict[CustomerMonth, MonthCorrections] = defaultdict(MonthCorrections)
    restated: set[tuple[int, date, int]] = set()
    for customer_id, month, meter_id, day, added, added_before, billed in _sum_days(
        db, period_start, segments
    ):
        corrections = found[customer_id, month]
        if aggregations[meter_id] == "sum":
            start = next(
                (each.start for each in segments[customer_id, month] if each.start <= day < each.end), None
            )
            key = UsageKey(meter_id, start)
            corrections.added[key] = EXACT.add(corrections.added[key], added)
            corrections.added_before[key] = EXACT.add(corrections.added_before[key], added_before)
        else:
            key = UsageKey(meter_id, None)
            restated.add((customer_id, month, meter_id))
        if billed:
            corrections.billed.add(key)
    for customer_id, month, meter_id, *quantities in _restate(db, period_start, restated):
        corrections, key = found[customer_id, month], UsageKey(meter_id, None)
        now, before = quantities[:2] if aggregations[meter_id] == "max" else quantities[2:]
        corrections.restated[key] = now
        if before is not None:
            corrections.restated_before[key] = before
    return dict(found)


def _sum_days(db: Cursor[Any], period_start: date, months: Iterable[CustomerMonth]) -> list[Any]:
    """Sum the corrections of each month by meter and day, billed up to the period and before it."""
    customer_ids, starts = as_columns(months)
    db.execute(
        """
        SELECT m.customer_id, m.month, k.meter_id, (k.occurred_at AT TIME ZONE 'UTC')::date,
               sum(k.difference),
               coalesce(sum(k.difference) FILTER (WHERE k.billing_period < %(period)s), 0),
               count(*) FILTER (WHERE k.billing_period = %(period)s)
        FROM unnest(%(customer_ids)s::bigint[], %(months)s::date[]) AS m(customer_id, month)
        CROSS JOIN LATERAL generate_series(m.month, %(period)s::date, interval '1 month') AS p(period)
        JOIN usage_correction k ON k.customer_id = m.customer_id AND k.billing_period = p.period::date
         AND k.occurred_at >= m.month::timestamp AT TIME ZONE 'UTC'
         AND k.occurred_at < (m.month + interval '1 month') AT TIME ZONE 'UTC'
        GROUP BY 1, 2, 3, 4
        """,
        {"period": period_start, "customer_ids": customer_ids, "months": starts},
    )
    return db.fetchall()


_NEWEST = """
    LEFT JOIN LATERAL (
        SELECT k.quantity FROM usage_correction k
        WHERE k.customer_id = e.customer_id AND k.idempotency_key = e.idempotency_key
          AND k.billing_period {condition}
        ORDER BY k.number DESC LIMIT 1
    ) {name} ON true
"""
_RESTATE = f"""
    SELECT m.customer_id, m.month, m.meter_id,
           max(coalesce(newest.quantity, e.quantity)),
           max(coalesce(newest_before.quantity, e.quantity)) FILTER (WHERE e.billing_period < %(period)s),
           (count(DISTINCT e.item) FILTER (WHERE coalesce(newest.quantity, e.quantity) > 0))::numeric,
           (count(DISTINCT e.item) FILTER (
               WHERE e.billing_period < %(period)s AND coalesce(newest_before.quantity, e.quantity) > 0
           ))::numeric
    FROM unnest(%(customer_ids)s::bigint[], %(months)s::date[], %(meter_ids)s::smallint[])
         AS m(customer_id, month, meter_id)
    CROSS JOIN LATERAL generate_series(m.month, %(period)s::date, interval '1 month') AS p(period)
    JOIN usage_event e ON e.customer_id = m.customer_id AND e.billing_period = p.period::date
     AND e.occurred_at >= m.month::timestamp AT TIME ZONE 'UTC'
     AND e.occurred_at < (m.month + interval '1 month') AT TIME ZONE 'UTC'
     AND e.meter_id = m.meter_id
    {_NEWEST.format(condition="<= %(period)s", name="newest")}
    {_NEWEST.format(condition="< %(period)s", name="newest_before")}
    GROUP BY 1, 2, 3
"""


def _restate(db: Cursor[Any], period_start: date, wanted: Iterable[tuple[int, date, int]]) -> list[Any]:
    """Make the largest quantity and the number of items again, from every event of these months and meters."""
    rows = list(wanted)
    if not rows:
        return []
    db.execute(
        _RESTATE,
        {
            "period": period_start,
            "customer_ids": [customer_id for customer_id, _, _ in rows],
            "months": [month for _, month, _ in rows],
            "meter_ids": [meter_id for *_, meter_id in rows],
        },
    )
    return db.fetchall()
