"""Which usage has no price, as SQL: the plan of its day has no charge for its meter.

Unguarded: callers have checked the permission.
"""

from __future__ import annotations

from typing import Any

from psycopg import Cursor

from billing_app.services.plans.plan_in_effect import plan_in_effect
from billing_app.services.shared.current_quantity import current_quantity

GAPS = """(
    SELECT p.plan_id, m.meter_id, m.code, m.name FROM plan p CROSS JOIN meter m
    WHERE NOT EXISTS (
        SELECT FROM plan_charge c WHERE c.plan_id = p.plan_id AND c.meter_id = m.meter_id
    )
)"""
"""Each plan with each meter that it has no charge for."""


def has_no_price(event: str) -> str:
    """Return the condition that an event of usage_event, by its alias, has a quantity and no price."""
    day = f"({event}.occurred_at AT TIME ZONE 'UTC')::date"
    return f"""(
        {current_quantity(event)} > 0 AND NOT EXISTS (
            SELECT FROM plan_charge c WHERE c.meter_id = {event}.meter_id
            AND c.plan_id = {plan_in_effect(f"{event}.customer_id", day)}
        )
    )"""


def find_gap_meters(db: Cursor[Any]) -> list[int]:
    """Return the meters that at least one plan has no charge for. Usage of all others has a price."""
    db.execute(f"SELECT DISTINCT meter_id FROM {GAPS} gap ORDER BY 1")
    return [meter_id for (meter_id,) in db]
