"""The quantity of an event as its newest correction states it, as SQL."""

from __future__ import annotations


def current_quantity(event: str) -> str:
    """Return an expression for what an event of usage_event, by its alias, counts now."""
    return f"""coalesce((
        SELECT newest.quantity FROM usage_correction newest
        WHERE newest.customer_id = {event}.customer_id AND newest.idempotency_key = {event}.idempotency_key
        ORDER BY newest.number DESC LIMIT 1
    ), {event}.quantity)"""


def correction_count(event: str) -> str:
    """Return an expression for the number of corrections of an event, by the alias of usage_event."""
    return f"""(
        SELECT count(*) FROM usage_correction
        WHERE usage_correction.customer_id = {event}.customer_id
          AND usage_correction.idempotency_key = {event}.idempotency_key
    )"""
