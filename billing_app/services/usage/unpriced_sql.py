"""Which usage has no price, as SQL: the plan of its day has no charge for its meter.

Unguarded: callers have checked the permission.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from psycopg import Cursor

# The events of so few customers are found fastest customer by customer.
_FEW = 100


class Gap(NamedTuple):
    """A meter that plans of customers, past ones included, have no charge for. Other usage has a price.

    `customer_ids` are these customers if they are few, and otherwise None.
    """

    meter_id: int
    code: str
    name: str
    plan_ids: list[int]
    customer_ids: list[int] | None


WITH_GAPS = """
    WITH gap AS NOT MATERIALIZED (
        SELECT s.customer_id, m.meter_id, s.effective_from::timestamp AT TIME ZONE 'UTC' AS start,
               until.day::timestamp AT TIME ZONE 'UTC' AS finish
        FROM subscription s CROSS JOIN meter m
        CROSS JOIN LATERAL (
            SELECT coalesce(min(following.effective_from), 'infinity'::date) AS day
            FROM subscription following
            WHERE following.customer_id = s.customer_id AND following.effective_from > s.effective_from
        ) until
        WHERE NOT EXISTS (
            SELECT FROM plan_charge c WHERE c.plan_id = s.plan_id AND c.meter_id = m.meter_id
        )
    )
"""
"""Starts a query with `gap`: the times in which a customer's plan has no charge for a meter.

On one server, `has_no_price` looks up the customer's gaps for each event. Citus finds the gaps of all
customers first and sends them to each server.
"""


def has_no_price(event: str, quantity: str) -> str:
    """Return the condition that an event, by its alias, has this quantity and no price.

    Takes SQL expressions, never values from callers. The query starts with `WITH_GAPS`.
    """
    # OFFSET keeps the gaps of all customers from being found first.
    return f"""(
        {quantity} > 0 AND EXISTS (
            SELECT 1 FROM gap
            WHERE gap.customer_id = {event}.customer_id AND gap.meter_id = {event}.meter_id
              AND gap.start <= {event}.occurred_at AND gap.finish > {event}.occurred_at OFFSET 0
        )
    )"""


_GAPS = """
    SELECT gap.*, ARRAY(
        SELECT s.customer_id FROM subscription s WHERE s.plan_id = ANY(gap.plan_ids) LIMIT %s
    )
    FROM (
        SELECT m.meter_id, m.code, m.name, array_agg(p.plan_id) AS plan_ids
        FROM meter m CROSS JOIN plan p
        WHERE NOT EXISTS (
            SELECT FROM plan_charge c WHERE c.plan_id = p.plan_id AND c.meter_id = m.meter_id
        ) AND EXISTS (SELECT FROM subscription s WHERE s.plan_id = p.plan_id)
        GROUP BY m.meter_id
    ) gap
    ORDER BY gap.code
"""


def find_gaps(db: Cursor[Any]) -> list[Gap]:
    """Return the meters whose usage may have no price."""
    db.execute(_GAPS, [_FEW + 1])
    return [
        Gap(meter_id, code, name, plan_ids, customer_ids if len(customer_ids) <= _FEW else None)
        for meter_id, code, name, plan_ids, customer_ids in db
    ]
