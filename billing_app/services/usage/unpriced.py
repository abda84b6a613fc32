"""Usage that costs nothing because the plan of its day has no charge for its meter."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.domain.actor import Actor, Permission
from billing_app.services.shared import validation
from billing_app.services.shared.permissions import require
from billing_app.services.usage.filters import UsageFilter
from billing_app.services.usage.log import COUNTED_MAX
from billing_app.services.usage.rows import UsageEventRow
from billing_app.services.usage.selection import merged, select_months, select_unpriced
from billing_app.services.usage.unpriced_sql import WITH_GAPS, find_gaps, has_no_price


class UnpricedMeter(NamedTuple):
    """A meter, how many of its events of a month have no price, and how many customers they belong to.

    If `has_more`, counting stopped at the limit, and there are more.
    """

    code: str
    name: str
    events: int
    customers: int
    has_more: bool


def count_unpriced(session: Session, actor: Actor, period_start: date) -> tuple[UnpricedMeter, ...]:
    """Count the month's own usage that has no price, by meter, up to 10,000 events each.

    Raises Invalid.
    """
    require(actor, Permission.READ)
    period_start = validation.period("period", period_start)
    months = select_months(UsageFilter(period=period_start, billing_period=period_start))
    with driver_cursor(session) as db:
        gaps = find_gaps(db)
        if not gaps:
            return ()
        parts = [select_unpriced(gap).limited(months) for gap in gaps]
        counts = " UNION ALL ".join(
            f"(SELECT {number}, count(*), count(DISTINCT customer_id) FROM"
            f" (SELECT e.customer_id FROM usage_event e WHERE {part.condition} LIMIT %(limit)s) counted)"
            for number, part in enumerate(parts)
        )
        db.execute(f"{WITH_GAPS} {counts} ORDER BY 1", merged(parts) | {"limit": COUNTED_MAX + 1})
        return tuple(
            UnpricedMeter(
                gaps[number].code,
                gaps[number].name,
                min(events, COUNTED_MAX),
                customers,
                events > COUNTED_MAX,
            )
            for number, events, customers in db
            if events
        )


def find_unpriced(session: Session, actor: Actor, events: Iterable[UsageEventRow]) -> set[tuple[int, str]]:
    """Return the customer id and the key of each of these events that has a quantity and no price."""
    require(actor, Permission.READ)
    shown = list(events)
    with driver_cursor(session) as db:
        db.execute(
            f"{WITH_GAPS} SELECT e.customer_id, e.idempotency_key FROM ("
            "   SELECT shown.*, m.meter_id"
            "   FROM unnest(%s::bigint[], %s::text[], %s::timestamptz[], %s::text[], %s::numeric[])"
            "        AS shown (customer_id, idempotency_key, occurred_at, code, quantity)"
            "   JOIN meter m USING (code)"
            f") e WHERE {has_no_price('e', 'e.quantity')}",
            [
                [event.customer_id for event in shown],
                [event.idempotency_key for event in shown],
                [event.occurred_at for event in shown],
                [event.meter for event in shown],
                [event.current_quantity for event in shown],
            ],
        )
        return set(db)
