"""What a customer used in a month, day by day, beside what its plan includes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from sqlmodel import Session

from billing_app.database.session import driver_cursor, now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.money import exact_sum
from billing_app.domain.periods import bounds, next_period, period_of, periods_between
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.plans.plan_in_effect import read_plans_in_effect
from billing_app.services.shared import validation
from billing_app.services.shared.permissions import require


class DayUsage(NamedTuple):
    """Usage on one UTC day."""

    day: date
    quantity: Decimal
    events: int


@dataclass(frozen=True, slots=True)
class MonthUsage:
    """A customer's usage month up to now. `included_units` is None without a plan in that month;
    days without usage are not among the days."""

    period_start: date
    quantity: Decimal
    included_units: Decimal | None
    days: tuple[DayUsage, ...]


def usage_per_day(
    session: Session, actor: Actor, customer: str, period_start: date | None = None
) -> MonthUsage:
    """Every event of the customer in the usage month (the current one by default), wherever it is billed.

    Raises NotFound (`customer_not_found`), Invalid.
    """
    require(actor, Permission.READ)
    current = period_of(now(session))
    month = current if period_start is None else validation.period("period", period_start)
    customer_id = get_customer_id(session, customer)
    start, end = bounds(month)
    # The periods one by one: each is a range of the index on billing periods.
    billed_in = list(periods_between(month, next_period(max(month, current))))
    with driver_cursor(session) as db:
        db.execute(
            "SELECT (occurred_at AT TIME ZONE 'UTC')::date, sum(quantity), count(*) FROM usage_event"
            " WHERE customer_id = %s AND billing_period = ANY(%s) AND occurred_at >= %s AND occurred_at < %s"
            " GROUP BY 1 ORDER BY 1",
            [customer_id, billed_in, start, end],
        )
        days = tuple(DayUsage(*row) for row in db)
        plan = read_plans_in_effect(db, [(customer_id, month)]).get((customer_id, month))
    return MonthUsage(
        month, exact_sum(day.quantity for day in days), plan.included_units if plan else None, days
    )
