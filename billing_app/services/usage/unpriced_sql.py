"""Which usage has no price, as SQL: the plan of its day has no charge for its meter.

Unguarded: callers have checked the permission.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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


class Gap(NamedTuple):
    """A plan, and a meter whose usage it does not price."""

    plan_id: int
    meter_id: int


def find_gaps(db: Cursor[Any]) -> list[Gap]:
    """Return each plan with each meter that it has no charge for. All other usage has a price."""
    db.execute(f"SELECT plan_id, meter_id FROM {GAPS} gap")
    return [Gap(*row) for row in db]
