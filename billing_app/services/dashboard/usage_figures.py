"""SQL for the usage in the figures: of each customer, and of all customers by meter and day.

For all customers, the quantities of the customers are added, whatever the aggregation of the meter, as invoices
do. Only aggregations that a meter has are part of a query, so that a business whose meters all add up reads its
events once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from psycopg import Cursor

from billing_app.domain.terms import Aggregation
from billing_app.services.dashboard.document import UnpricedMonth, UsageDay, UsageMonth
from billing_app.services.plans.plan_in_effect import plans_in_effect
from billing_app.services.usage.counted_sql import DAY, item_events, largest_events

_THIS_MONTH = "billing_period >= %(month)s AND occurred_at >= %(start)s AND occurred_at < %(end)s"
_BOTH_MONTHS = "billing_period >= %(last_month)s AND occurred_at >= %(last_start)s AND occurred_at < %(end)s"
_SO_FAR = "occurred_at < %(last_start)s + %(elapsed)s"

_BY_CUSTOMER: Mapping[Aggregation, str] = {
    "sum": f"""
        SELECT customer_id, meter_id, sum(quantity) AS quantity FROM (
            SELECT customer_id, meter_id, sum(quantity) AS quantity FROM usage_event
             WHERE {_THIS_MONTH} AND meter_id = ANY(%(sum_meters)s) GROUP BY 1, 2
            UNION ALL
            SELECT customer_id, meter_id, sum(difference) FROM usage_correction
             WHERE {_THIS_MONTH} AND meter_id = ANY(%(sum_meters)s) GROUP BY 1, 2
        ) corrected GROUP BY 1, 2
    """,
    "max": f"""
        SELECT customer_id, meter_id, max(quantity) FROM ({largest_events(_THIS_MONTH)}) used GROUP BY 1, 2
    """,
    "unique": f"""
        SELECT customer_id, meter_id, count(DISTINCT item)::numeric
          FROM ({item_events(_THIS_MONTH)}) used GROUP BY 1, 2
    """,
}


def usage_by_customer(aggregations: Collection[Aggregation]) -> str:
    """Return a query for `customer_id`, `meter_id` and `quantity` of this month."""
    return " UNION ALL ".join(query for each, query in _BY_CUSTOMER.items() if each in aggregations)


FIRST_METERS = f"""
    SELECT p.customer_id, c.meter_id FROM {plans_in_effect("%(today)s")} p
      JOIN plan_charge c ON c.plan_id = p.plan_id AND c.position = 1
"""
"""The meter that each customer's plan of today charges first."""

# For each aggregation: what each customer used on each day, and what of it counts up to this time of last month.
_BY_CUSTOMER_AND_DAY: Mapping[Aggregation, str] = {
    # Nothing is lost by adding the customers up first, and there are fewer groups.
    "sum": f"""
        SELECT 0 AS customer_id, meter_id, day, sum(quantity) AS quantity, sum(events) AS events,
               sum(so_far) AS so_far FROM (
            SELECT meter_id, {DAY} AS day, sum(quantity) AS quantity, count(*) AS events,
                   sum(quantity) FILTER (WHERE {_SO_FAR}) AS so_far
              FROM usage_event WHERE {_BOTH_MONTHS} AND meter_id = ANY(%(sum_meters)s) GROUP BY 1, 2
            UNION ALL
            SELECT meter_id, {DAY}, sum(difference), 0, sum(difference) FILTER (WHERE {_SO_FAR})
              FROM usage_correction WHERE {_BOTH_MONTHS} AND meter_id = ANY(%(sum_meters)s) GROUP BY 1, 2
        ) corrected GROUP BY 2, 3
    """,
    "max": f"""
        SELECT customer_id, meter_id, {DAY} AS day, max(quantity) AS quantity, count(*) AS events,
               max(quantity) FILTER (WHERE {_SO_FAR}) AS so_far
          FROM ({largest_events(_BOTH_MONTHS)}) used GROUP BY 1, 2, 3
    """,
    # `so_far` has the items that are new on the day, which add up to those of the month.
    "unique": f"""
        SELECT customer_id, meter_id, {DAY} AS day, count(DISTINCT item) AS quantity, count(*) AS events,
               count(DISTINCT item) FILTER (WHERE is_first AND {_SO_FAR}) AS so_far,
               count(DISTINCT item) FILTER (WHERE is_first) AS new_items
          FROM (SELECT customer_id, meter_id, occurred_at, item, occurred_at = min(occurred_at) OVER (
                    PARTITION BY customer_id, meter_id, item, date_trunc('month', occurred_at, 'UTC')
                ) AS is_first FROM ({item_events(_BOTH_MONTHS)}) counted) used
         GROUP BY 1, 2, 3
    """,
}
# How the days of a customer make the quantity of its month.
_MONTH: Mapping[Aggregation, tuple[str, str]] = {
    "sum": ("sum(quantity)", "sum(so_far)"),
    "max": ("max(quantity)", "max(so_far)"),
    "unique": ("sum(new_items)", "sum(so_far)"),
}


def _usage_by_day(aggregation: Aggregation) -> str:
    """Return a query for the rows of the days, and of the months, which have no day."""
    month, so_far = _MONTH[aggregation]
    return f"""
        WITH used AS MATERIALIZED ({_BY_CUSTOMER_AND_DAY[aggregation]})
        SELECT meter_id, date_trunc('month', day)::date AS month, day, sum(quantity)::numeric AS quantity,
               sum(events)::int AS events, 0::numeric AS so_far
          FROM used GROUP BY 1, 2, 3
        UNION ALL
        SELECT meter_id, month, NULL, sum(quantity)::numeric, 0, coalesce(sum(so_far), 0)::numeric FROM (
            SELECT customer_id, meter_id, date_trunc('month', day)::date AS month, {month} AS quantity,
                   {so_far} AS so_far FROM used GROUP BY 1, 2, 3
        ) of_customer GROUP BY 1, 2
        ORDER BY 1, 2, 3
    """


class MeteredUsage(NamedTuple):
    """Usage of this month and the last by meter, per day and in total."""

    days: tuple[UsageDay, ...]
    months: tuple[UsageMonth, ...]


def read_usage(
    db: Cursor[Any], values: Mapping[str, Any], aggregations: Collection[Aggregation]
) -> MeteredUsage:
    """Read the usage of both months. `values` are the parameters of all figures."""
    days, months = [], []
    for aggregation in _BY_CUSTOMER_AND_DAY:
        if aggregation not in aggregations:
            continue
        for meter_id, month, day, quantity, events, so_far in db.execute(_usage_by_day(aggregation), values):
            if day is None:
                months.append(UsageMonth(meter_id, month, quantity, so_far))
            else:
                days.append(UsageDay(meter_id, day, quantity, events))
    return MeteredUsage(tuple(days), tuple(months))


# The runs of days of the last month and this one on which a customer's plan lacks a charge for some of the
# meters with usage. If every plan prices every meter there are none, and no event is read.
_GAPS = """
    SELECT s.customer_id, gap.meters,
           greatest(s.effective_from, %(last_month)s::date)::timestamp AT TIME ZONE 'UTC' AS start,
           least(until.day, (%(end)s AT TIME ZONE 'UTC')::date)::timestamp AT TIME ZONE 'UTC' AS finish
      FROM (
        SELECT p.plan_id, array_agg(m.meter_id) AS meters
          FROM plan p CROSS JOIN unnest(%(used_meters)s::smallint[]) AS m(meter_id)
         WHERE NOT EXISTS (
            SELECT FROM plan_charge c WHERE c.plan_id = p.plan_id AND c.meter_id = m.meter_id
         ) GROUP BY 1
      ) gap
      JOIN subscription s USING (plan_id)
      CROSS JOIN LATERAL (
        SELECT coalesce(min(following.effective_from), 'infinity'::date) AS day FROM subscription following
         WHERE following.customer_id = s.customer_id AND following.effective_from > s.effective_from
      ) until
     WHERE s.effective_from < %(end)s AND until.day > %(last_month)s::date
"""
# Counts the events as first recorded, from the index alone, and then those that corrections make count or not.
# An event is billed in its month or the next, and the index has a range for each.
_UNPRICED = f"""
    WITH gap AS MATERIALIZED ({_GAPS})
    SELECT date_trunc('month', occurred_at, 'UTC')::date AS usage_month, count(*) AS events
      FROM gap
      CROSS JOIN generate_series(%(last_month)s::date, %(month)s::date, interval '1 month') billed
      JOIN usage_event e ON e.customer_id = gap.customer_id AND e.billing_period = billed::date
       AND e.occurred_at >= gap.start AND e.occurred_at < gap.finish
       AND e.meter_id = ANY(gap.meters) AND e.quantity > 0
     GROUP BY 1
    UNION ALL
    SELECT date_trunc('month', changed.occurred_at, 'UTC')::date, sum(changed.events)
      FROM (
        SELECT customer_id, meter_id, occurred_at,
               CASE WHEN (array_agg(quantity ORDER BY number DESC))[1] > 0 THEN 1 ELSE -1 END AS events
          FROM usage_correction
         WHERE {_BOTH_MONTHS} AND meter_id = ANY(%(used_meters)s)
         GROUP BY customer_id, idempotency_key, meter_id, occurred_at
        HAVING ((array_agg(quantity ORDER BY number DESC))[1] > 0)
               <> ((array_agg(quantity_before ORDER BY number))[1] > 0)
      ) changed
      JOIN gap ON gap.customer_id = changed.customer_id AND changed.meter_id = ANY(gap.meters)
       AND changed.occurred_at >= gap.start AND changed.occurred_at < gap.finish
     GROUP BY 1
"""


def read_unpriced(
    db: Cursor[Any], values: Mapping[str, Any], used_meters: Collection[int]
) -> tuple[UnpricedMonth, ...]:
    """Count the events without a price by usage month, of this month and the last.

    `used_meters` are those with usage in these months.
    """
    rows = db.execute(
        f"SELECT usage_month, sum(events)::int FROM ({_UNPRICED}) counted GROUP BY 1 HAVING sum(events) > 0"
        " ORDER BY 1",
        {**values, "used_meters": list(used_meters)},
    )
    return tuple(UnpricedMonth(*row) for row in rows)
