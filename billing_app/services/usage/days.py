"""A customer's daily usage in a month, with the plan's included units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from sqlmodel import Session

from billing_app.database.session import driver_cursor, now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.days import Segment, share_of, spans_in
from billing_app.domain.money import exact_sum
from billing_app.domain.periods import bounds, next_period, period_of, periods_between
from billing_app.domain.pricing import included_quantity
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.plans.plan_in_effect import read_segments
from billing_app.services.shared import validation
from billing_app.services.shared.permissions import require


class DailyUsage(NamedTuple):
    """Usage on one UTC day: the quantity and the number of events."""

    day: date
    quantity: Decimal
    events: int


@dataclass(frozen=True, slots=True)
class MonthlyUsage:
    """A customer's usage in one month so far.

    `included_units` are those of the meter that the month's last plan charges first: of all plans of the month,
    scaled to their days. They are None in a month without a plan, and for a price that includes none. `days` lists only days with usage, in order.
    """

    period_start: date
    quantity: Decimal
    included_units: Decimal | None
    days: tuple[DailyUsage, ...]


_USED = """
    FROM {table} WHERE customer_id = %(customer_id)s AND billing_period = ANY(%(periods)s)
     AND occurred_at >= %(start)s AND occurred_at < %(end)s
"""
_DAYS = f"""
    SELECT (occurred_at AT TIME ZONE 'UTC')::date, sum(quantity), sum(events)::int
    FROM (
        SELECT occurred_at, quantity, 1 AS events {_USED.format(table="usage_event")}
        UNION ALL
        SELECT occurred_at, difference, 0 {_USED.format(table="usage_correction")}
    ) used
    GROUP BY 1 ORDER BY 1
"""


def get_monthly_usage(
    session: Session, actor: Actor, customer: str, period_start: date | None = None
) -> MonthlyUsage:
    """Sum the customer's events in a usage month, as they are corrected, whichever invoice bills them.

    By default, the current month.

    Raises NotFound (`customer_not_found`) and Invalid.
    """
    require(actor, Permission.READ)
    current = period_of(now(session))
    month = current if period_start is None else validation.period("period", period_start)
    customer_id = get_customer_id(session, customer)
    start, end = bounds(month)
    # Listing the billing periods lets the query use the index, which has a range for each.
    billing_periods = list(periods_between(month, next_period(max(month, current))))
    with driver_cursor(session) as db:
        db.execute(
            _DAYS, {"customer_id": customer_id, "periods": billing_periods, "start": start, "end": end}
        )
        days = tuple(DailyUsage(*row) for row in db)
        segments = read_segments(db, [(customer_id, month)]).get((customer_id, month), ())
    return MonthlyUsage(
        period_start=month,
        quantity=exact_sum(day.quantity for day in days),
        included_units=_included_units(segments),
        days=days,
    )


def _included_units(segments: Sequence[Segment]) -> Decimal | None:
    if not segments or not segments[-1].plan.charges:
        return None
    meter = segments[-1].plan.charges[0].meter
    charges = [each for each in spans_in(tuple(segments)) if each.charge.meter == meter]
    if any(each.charge.included_units is None for each in charges):
        return None
    return exact_sum(
        included_quantity(each.charge, share_of(each.start.replace(day=1), each.start, each.end))
        for each in charges
    )
