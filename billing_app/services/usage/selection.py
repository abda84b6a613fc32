"""Shared parts of the queries on usage events. Unguarded: callers have checked the permission."""

from __future__ import annotations

from typing import NamedTuple

from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.domain.periods import bounds
from billing_app.models.usage import LATE
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.plans.meter_queries import find_meter
from billing_app.services.shared import validation
from billing_app.services.shared.current_quantity import correction_count, current_quantity
from billing_app.services.usage.filters import UsageFilter
from billing_app.services.usage.unpriced_sql import Gap, find_gaps, has_no_price

EVENT_COLUMNS = (
    "c.customer_id, c.key, c.name, e.idempotency_key, e.quantity, e.occurred_at, e.recorded_at,"
    " e.billing_period, e.recorded_by, (SELECT code FROM meter WHERE meter.meter_id = e.meter_id), e.item,"
    f" {current_quantity('e')}, {correction_count('e')}"
)
"""The columns of a `UsageEventRow`, from usage_event `e` and customer `c`."""


# The price is looked up only for events that may lack one: those of a meter, and of a customer who ever had a plan,
# that a charge is missing for.
_UNPRICED = f"""
    e.meter_id = ANY(%(gap_meter_ids)s::smallint[])
    AND e.customer_id IN (SELECT customer_id FROM subscription WHERE plan_id = ANY(%(gap_plan_ids)s::bigint[]))
    AND {has_no_price("e")}
"""


class UsageSelection(NamedTuple):
    """A condition on `usage_event e`, and its parameters.

    If `is_by_meter`, the newest of these events are found fastest by taking the newest of each meter.
    """

    condition: str
    parameters: dict[str, object]
    is_by_meter: bool = False


def select_usage(session: Session, usage_filter: UsageFilter) -> UsageSelection:
    """Return the condition for a filter. Raises NotFound (`customer_not_found`, `meter_not_found`)."""
    # A partial index has only the late events.
    conditions = [LATE] if usage_filter.selects_late_usage else ["true"]
    parameters: dict[str, object] = {}
    if usage_filter.customer is not None:
        conditions.append("e.customer_id = %(customer_id)s")
        parameters["customer_id"] = get_customer_id(session, usage_filter.customer)
    if usage_filter.meter is not None:
        conditions.append("e.meter_id = %(meter_id)s")
        parameters["meter_id"] = find_meter(session, usage_filter.meter).meter_id
    if usage_filter.unpriced_only:
        conditions.append(_UNPRICED)
        gaps = _find_gaps(session)
        parameters["gap_meter_ids"] = list({gap.meter_id for gap in gaps})
        parameters["gap_plan_ids"] = list({gap.plan_id for gap in gaps})
    if usage_filter.idempotency_key is not None:
        key = validation.idempotency_key("idempotency_key", usage_filter.idempotency_key)
        conditions.append("e.idempotency_key = %(idempotency_key)s")
        parameters["idempotency_key"] = key
        if usage_filter.customer is None:
            conditions.append("e.customer_id = ANY(%(customer_ids)s)")
            parameters["customer_ids"] = _find_customers_with_key(session, key)
    if usage_filter.period is not None:
        conditions.append("e.occurred_at >= %(start)s AND e.occurred_at < %(end)s")
        # No event is billed before its usage month, so the index on billing periods can be used.
        conditions.append("e.billing_period >= %(period)s")
        start, end = bounds(usage_filter.period)
        parameters |= {"start": start, "end": end, "period": usage_filter.period}
    if usage_filter.billing_period is not None:
        # For the same reason, events that occurred after the period need not be read.
        conditions.append("e.billing_period = %(billing_period)s AND e.occurred_at < %(billed_end)s")
        parameters |= {
            "billing_period": usage_filter.billing_period,
            "billed_end": bounds(usage_filter.billing_period)[1],
        }
    return UsageSelection(" AND ".join(conditions), parameters)


def select_usage_by_time(session: Session, usage_filter: UsageFilter) -> tuple[UsageSelection, ...]:
    """Return conditions whose events, taken together, are those of a filter, each for an index by time.

    All events have an index by meter and time, and late ones also have one of their own by time. The events
    billed in a period are in both: nearly all are the period's own, and the others are late. The billing index is kept from being used for the latter. The planner would choose it
    for a new month, of which its statistics know nothing yet, and would sort a month for a page.

    Raises NotFound (`customer_not_found`, `meter_not_found`).
    """
    selected = select_usage(session, usage_filter)
    billed = usage_filter.billing_period
    is_of_few = usage_filter.customer is not None or usage_filter.idempotency_key is not None
    is_late = usage_filter.selects_late_usage
    if billed is None or is_of_few or (is_late and usage_filter.period is not None):
        return (selected._replace(is_by_meter=not (is_of_few or is_late)),)
    start, end = bounds(billed)
    parameters = selected.parameters | {"billing_period": billed, "billed_start": start, "billed_end": end}
    also = "" if usage_filter.meter is None else " AND e.meter_id = %(meter_id)s"
    also += f" AND {_UNPRICED}" if usage_filter.unpriced_only else ""
    late = UsageSelection(
        f"{LATE} AND e.occurred_at < %(billed_start)s AND e.billing_period = %(billing_period)s{also}",
        parameters,
    )
    own = UsageSelection(
        "(e.billing_period = %(billing_period)s) IS TRUE"
        f" AND e.occurred_at >= %(billed_start)s AND e.occurred_at < %(billed_end)s{also}",
        parameters,
        is_by_meter=True,
    )
    if usage_filter.period is not None:
        return (own,)
    return (late,) if usage_filter.late_only else (own, late)


def _find_gaps(session: Session) -> list[Gap]:
    with driver_cursor(session) as db:
        return find_gaps(db)


def _find_customers_with_key(session: Session, key: str) -> list[int]:
    """Return the customers who have an event with this key.

    One look-up per customer in the primary key. Without the LIMIT, the database might read all events.
    """
    with driver_cursor(session) as db:
        db.execute(
            "SELECT c.customer_id FROM customer c CROSS JOIN LATERAL (SELECT FROM usage_event e"
            " WHERE e.customer_id = c.customer_id AND e.idempotency_key = %s LIMIT 1) found",
            [key],
        )
        return [customer_id for (customer_id,) in db]
