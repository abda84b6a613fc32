"""Which usage has no price, as SQL: the plan of its day has no charge for its meter.

Unguarded: callers have checked the permission.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from psycopg import Cursor

from billing_app.services.plans.plan_in_effect import plan_in_effect
from billing_app.services.shared.current_quantity import current_quantity

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


def has_no_price(event: str) -> str:
    """Return the condition that an event of usage_event, by its alias, has a quantity and no price."""
    day = f"({event}.occurred_at AT TIME ZONE 'UTC')::date"
    return f"""(
        {current_quantity(event)} > 0 AND NOT EXISTS (
            SELECT FROM plan_charge c WHERE c.meter_id = {event}.meter_id
            AND c.plan_id = {plan_in_effect(f"{event}.customer_id", day)}
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
