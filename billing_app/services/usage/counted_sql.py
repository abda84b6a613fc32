"""SQL for events of meters that don't add up, as they count with their corrections.

An event without a correction is read from an index alone. The events of customers with a correction are read
from the table, each with its newest correction.
"""

from __future__ import annotations

from collections.abc import Mapping

from billing_app.domain.terms import Aggregation
from billing_app.services.shared.current_quantity import current_quantity

DAY = "(occurred_at AT TIME ZONE 'UTC')::date"


def meters_by_aggregation(aggregations: Mapping[int, Aggregation]) -> dict[str, list[int]]:
    """Return the parameters of these queries: the meters of each aggregation."""
    return {
        f"{wanted}_meters": [
            meter_id for meter_id, aggregation in aggregations.items() if aggregation == wanted
        ]
        for wanted in ("sum", "max", "unique")
    }


def largest_events(window: str) -> str:
    """Return a query for `customer_id`, `meter_id`, `occurred_at` and `quantity` of events of `max` meters.

    `window` is a condition on usage_event that also applies to usage_correction.
    """
    corrected = _corrected(f"{window} AND meter_id = ANY(%(max_meters)s)")
    return f"""
        SELECT customer_id, meter_id, occurred_at, quantity FROM usage_event
         WHERE {window} AND meter_id = ANY(%(max_meters)s) AND customer_id NOT IN ({corrected})
        UNION ALL
        SELECT customer_id, meter_id, occurred_at, {current_quantity("e")} FROM usage_event e
         WHERE {window} AND meter_id = ANY(%(max_meters)s) AND customer_id IN ({corrected})
    """


def item_events(window: str) -> str:
    """Return a query for `customer_id`, `meter_id`, `occurred_at` and `item` of events of `unique` meters.

    Events that were corrected to zero don't count. `window` is as in `largest_events`.
    """
    corrected = _corrected(f"{window} AND meter_id = ANY(%(unique_meters)s)")
    return f"""
        SELECT customer_id, meter_id, occurred_at, item FROM usage_event
         WHERE {window} AND item IS NOT NULL AND customer_id NOT IN ({corrected})
        UNION ALL
        SELECT customer_id, meter_id, occurred_at, item FROM usage_event e
         WHERE {window} AND item IS NOT NULL AND customer_id IN ({corrected})
           AND {current_quantity("e")} > 0
    """


def _corrected(condition: str) -> str:
    return f"SELECT customer_id FROM usage_correction WHERE {condition}"
