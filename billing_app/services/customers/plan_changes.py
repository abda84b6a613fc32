"""What a change of a subscription would leave, and whether it is allowed. Nothing is written here.

Saving a change and previewing an invoice under it both call this, so they are refused alike. Unguarded:
callers have checked their permission.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import TypedDict

from sqlmodel import Session, col, select

from billing_app.database.session import driver_cursor
from billing_app.domain.periods import start_of_day
from billing_app.domain.subscription import in_effect, replace_from, runs_from
from billing_app.errors import Conflict
from billing_app.models import Customer, CustomerBilling, Plan, Subscription
from billing_app.services.customers.rows import PlanChange, SubscriptionRow
from billing_app.services.plans.queries import find_plan, read_terms, refuse_archived
from billing_app.services.shared.current_quantity import current_quantity

CHANGES_MAX = 5
"""How many rows of a subscription can start in one month."""


class UnpricedUsage(TypedDict):
    """A meter's code and name, and how many of its events have no price."""

    meter: str
    name: str
    events: int


def rows_after(session: Session, customer: Customer, change: PlanChange) -> tuple[SubscriptionRow, ...]:
    """Return the customer's rows after the change: the very rows it has if the change changes nothing.

    Raises:
        NotFound: `plan_not_found`.
        Conflict: the first that applies of `currency_mismatch`, `plan_archived`, `period_closed`,
            `usage_recorded` when a day with usage would lose its plan, `usage_unpriced` and
            `too_many_changes`.
    """
    assert customer.customer_id is not None
    plan = None if change.plan_id is None else find_plan(session, change.plan_id)
    rows = read_rows(session, customer.customer_id)
    start = change.effective_from
    if plan is not None:
        _refuse_unsuitable(customer, plan, in_effect(rows, start))
    _refuse_closed(session, customer.customer_id, start)
    if plan is None:
        _refuse_if_used(session, customer.customer_id, start)
    elif not change.confirm_unpriced:
        _refuse_unpriced(session, customer.customer_id, rows, plan, start)
    after = replace_from(rows, _row_of(plan, start))
    in_month = [row for row in after if row.effective_from.replace(day=1) == start.replace(day=1)]
    if len(in_month) > CHANGES_MAX:
        raise Conflict("too_many_changes", at_most=CHANGES_MAX)
    return after


def read_rows(session: Session, customer_id: int) -> tuple[SubscriptionRow, ...]:
    """Return all of the customer's subscription rows, oldest first."""
    found = session.exec(
        select(Subscription, Plan)
        .join(Plan, col(Plan.plan_id) == col(Subscription.plan_id), isouter=True)
        .where(Subscription.customer_id == customer_id)
        .order_by(col(Subscription.effective_from))
    )
    return tuple(_row_of(plan, row.effective_from) for row, plan in found)


def _row_of(plan: Plan | None, effective_from: date) -> SubscriptionRow:
    return SubscriptionRow(
        effective_from=effective_from,
        plan_id=plan.plan_id if plan else None,
        plan_name=plan.name if plan else None,
        plan_version=plan.version if plan else None,
    )


def _refuse_unsuitable(customer: Customer, plan: Plan, current: SubscriptionRow | None) -> None:
    if plan.currency != customer.currency:
        raise Conflict("currency_mismatch", plan_currency=plan.currency, customer_currency=customer.currency)
    # A customer who is on an archived plan may stay on it.
    if current is None or current.plan_id != plan.plan_id:
        refuse_archived(plan)


def _refuse_closed(session: Session, customer_id: int, start: date) -> None:
    closed_through = session.get_one(CustomerBilling, customer_id, populate_existing=True).closed_through
    if start.replace(day=1) <= closed_through:
        raise Conflict("period_closed", closed_through=closed_through)


# The condition on the billing period is redundant, but it lets the query use the index. Events that count
# nothing, also because they were corrected, cost nothing under any plan, and need none.
_IS_USED = f"""
    SELECT 1 FROM usage_event e
    WHERE e.customer_id = %s AND e.billing_period >= date_trunc('month', %s::date)::date
      AND e.occurred_at >= %s AND {current_quantity("e")} > 0
    LIMIT 1
"""


def _refuse_if_used(session: Session, customer_id: int, start: date) -> None:
    with driver_cursor(session) as db:
        db.execute(_IS_USED, [customer_id, start, start_of_day(start)])
        is_used = db.fetchone()
    if is_used:
        raise Conflict("usage_recorded", effective_from=start.isoformat())


def _refuse_unpriced(
    session: Session, customer_id: int, rows: Sequence[SubscriptionRow], plan: Plan, start: date
) -> None:
    """Refuse a plan without a charge for usage that has a price now."""
    runs = [(first, end, row.plan_id) for first, end, row in runs_from(rows, start) if row.plan_id]
    assert plan.plan_id is not None
    terms = read_terms(session, {plan.plan_id, *(plan_id for *_, plan_id in runs)})
    metered = {plan_id: {charge.meter.meter_id for charge in each.charges} for plan_id, each in terms.items()}
    lost = [
        (first, end, meter_id)
        for first, end, plan_id in runs
        for meter_id in metered[plan_id] - metered[plan.plan_id]
    ]
    if unpriced := _count_usage(session, customer_id, lost):
        raise Conflict("usage_unpriced", unpriced=unpriced)


_COUNT_USAGE = f"""
    WITH used AS MATERIALIZED (
        SELECT r.meter_id, count(*) AS events
        FROM unnest(%(starts)s::date[], %(ends)s::date[], %(meter_ids)s::smallint[])
             AS r(start, finish, meter_id)
        JOIN usage_event e ON e.customer_id = %(customer_id)s AND e.meter_id = r.meter_id
         AND e.billing_period >= date_trunc('month', r.start)::date
         AND e.occurred_at >= r.start::timestamp AT TIME ZONE 'UTC'
         AND e.occurred_at < coalesce(r.finish, 'infinity'::date)::timestamp AT TIME ZONE 'UTC'
         AND {current_quantity("e")} > 0
        GROUP BY 1
    )
    SELECT m.code, m.name, used.events FROM used JOIN meter m USING (meter_id) ORDER BY m.code
"""


def _count_usage(
    session: Session, customer_id: int, runs: Sequence[tuple[date, date | None, int]]
) -> list[UnpricedUsage]:
    """Count the events of each meter in the runs of days. Events of quantity zero need no price."""
    if not runs:
        return []
    with driver_cursor(session) as db:
        db.execute(
            _COUNT_USAGE,
            {
                "customer_id": customer_id,
                "starts": [start for start, _, _ in runs],
                "ends": [end for _, end, _ in runs],
                "meter_ids": [meter_id for _, _, meter_id in runs],
            },
        )
        return [UnpricedUsage(meter=code, name=name, events=events) for code, name, events in db]
