"""Usage that costs nothing because the plan of its day has no charge for its meter."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.periods import next_period
from billing_app.services.shared import validation
from billing_app.services.shared.current_quantity import current_quantity
from billing_app.services.shared.permissions import require
from billing_app.services.usage.rows import UsageEventRow
from billing_app.services.usage.unpriced_sql import GAPS, has_no_price


class UnpricedMeter(NamedTuple):
    """A meter, how many of its events of a month have no price, and how many customers they belong to."""

    code: str
    name: str
    events: int
    customers: int


# Reads the events of customers only whose plan lacks a charge for some meter, so that it takes no time where
# every plan prices every meter.
_UNPRICED = f"""
    SELECT gap.code, gap.name, count(*), count(DISTINCT s.customer_id)
    FROM {GAPS} gap
    JOIN subscription s ON s.plan_id = gap.plan_id AND s.effective_from < %(end)s::date
    CROSS JOIN LATERAL (
        SELECT coalesce(min(following.effective_from), 'infinity'::date) AS day FROM subscription following
        WHERE following.customer_id = s.customer_id AND following.effective_from > s.effective_from
    ) until
    JOIN usage_event e ON e.customer_id = s.customer_id AND e.billing_period = %(period)s::date
     AND e.meter_id = gap.meter_id AND {current_quantity("e")} > 0
     AND e.occurred_at >= greatest(s.effective_from, %(period)s::date)::timestamp AT TIME ZONE 'UTC'
     AND e.occurred_at < least(until.day, %(end)s::date)::timestamp AT TIME ZONE 'UTC'
    WHERE until.day > %(period)s::date
    GROUP BY 1, 2 ORDER BY 1
"""


def count_unpriced(session: Session, actor: Actor, period_start: date) -> tuple[UnpricedMeter, ...]:
    """Count the month's own usage that has no price, by meter.

    Raises Invalid.
    """
    require(actor, Permission.READ)
    period_start = validation.period("period", period_start)
    with driver_cursor(session) as db:
        db.execute(_UNPRICED, {"period": period_start, "end": next_period(period_start)})
        return tuple(UnpricedMeter(*row) for row in db)


def find_unpriced(session: Session, actor: Actor, events: Iterable[UsageEventRow]) -> set[tuple[int, str]]:
    """Return the customer id and the key of each of these events that has a quantity and no price."""
    require(actor, Permission.READ)
    keys = [(event.customer_id, event.idempotency_key) for event in events]
    with driver_cursor(session) as db:
        db.execute(
            "SELECT e.customer_id, e.idempotency_key"
            " FROM unnest(%s::bigint[], %s::text[]) AS shown (customer_id, idempotency_key)"
            f" JOIN usage_event e USING (customer_id, idempotency_key) WHERE {has_no_price('e')}",
            [[customer_id for customer_id, _ in keys], [key for _, key in keys]],
        )
        return set(db)
