"""Shared parts of the queries on usage events. Unguarded: callers have checked the permission."""

from __future__ import annotations

from collections.abc import Iterable
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
    " e.billing_period, e.recorded_by, m.code, e.item, e.current_quantity, e.correction_count"
)
"""The columns of a `UsageEventRow`, from `read_events`."""


def read_events(condition: str, last: str = "") -> str:
    """Return the FROM clause for the events `usage_event e` that meet a condition.

    `last` is their ORDER BY, with a LIMIT. They are found before anything is joined, because the other tables
    can be on another server.
    """
    return f"""(
        SELECT e.*, {current_quantity("e")} AS current_quantity, {correction_count("e")} AS correction_count
        FROM usage_event e WHERE {condition} {last}
    ) e JOIN customer c USING (customer_id) JOIN meter m USING (meter_id)"""


class UsageSelection(NamedTuple):
    """A condition on `usage_event e`, and its parameters. A query with it starts with `WITH_GAPS`.

    If `is_by_meter`, the newest of these events are found fastest by taking the newest of each meter.
    """

    condition: str
    parameters: dict[str, object]
    is_by_meter: bool = True

    def limited(self, other: UsageSelection) -> UsageSelection:
        """Return the selection of the events that both select."""
        return UsageSelection(
            f"{self.condition} AND {other.condition}",
            self.parameters | other.parameters,
            self.is_by_meter and other.is_by_meter,
        )


def merged(parts: Iterable[UsageSelection]) -> dict[str, object]:
    """Return the parameters of all parts. A name has the same value in each."""
    return {name: value for part in parts for name, value in part.parameters.items()}


def select_usage(session: Session, usage_filter: UsageFilter) -> list[UsageSelection]:
    """Return conditions whose events, taken together, are those of a filter. No event is in two.

    Raises NotFound (`customer_not_found`, `meter_not_found`) and Invalid.
    """
    months = select_months(usage_filter)
    return [part.limited(months) for part in _select_kinds(session, usage_filter)]


def select_usage_by_time(session: Session, usage_filter: UsageFilter) -> list[UsageSelection]:
    """Return the same as `select_usage`, with a condition for each index by time.

    All events have an index by meter and time, and late ones also have one of their own by time. The events
    billed in a period are in both: nearly all are the period's own, and the others are late.
    """
    months = _select_months_by_time(usage_filter)
    return [
        part.limited(each)
        for part in _select_kinds(session, usage_filter)
        for each in (months if part.is_by_meter else [select_months(usage_filter)])
    ]


def _select_kinds(session: Session, usage_filter: UsageFilter) -> list[UsageSelection]:
    """Return the conditions for everything in a filter but its months."""
    conditions = ["true"]
    parameters: dict[str, object] = {}
    if usage_filter.customer is not None:
        conditions.append("e.customer_id = %(customer_id)s")
        parameters["customer_id"] = get_customer_id(session, usage_filter.customer)
    if usage_filter.meter is not None:
        conditions.append("e.meter_id = %(meter_id)s")
        parameters["meter_id"] = find_meter(session, usage_filter.meter).meter_id
    if usage_filter.idempotency_key is not None:
        key = validation.idempotency_key("idempotency_key", usage_filter.idempotency_key)
        conditions.append("e.idempotency_key = %(idempotency_key)s")
        parameters["idempotency_key"] = key
        if usage_filter.customer is None:
            conditions.append("e.customer_id = ANY(%(customer_ids)s)")
            parameters["customer_ids"] = _find_customers_with_key(session, key)
    is_of_few = usage_filter.customer is not None or usage_filter.idempotency_key is not None
    selected = UsageSelection(" AND ".join(conditions), parameters, not is_of_few)
    if not usage_filter.unpriced_only:
        return [selected]
    with driver_cursor(session) as db:
        # Without a gap, nothing is unpriced.
        return [selected.limited(select_unpriced(gap)) for gap in find_gaps(db)] or [
            UsageSelection("false", {})
        ]


def select_unpriced(gap: Gap) -> UsageSelection:
    """Return the condition for the events of a meter that have no price."""
    # The price is looked up only for the events of customers who ever had a plan without a charge.
    meter, customers, plans = (
        f"{name}_{gap.meter_id}" for name in ("gap_meter", "gap_customers", "gap_plans")
    )
    of_customers = (
        f"e.customer_id IN (SELECT customer_id FROM subscription WHERE plan_id = ANY(%({plans})s::bigint[]))"
        if gap.customer_ids is None
        else f"e.customer_id = ANY(%({customers})s::bigint[])"
    )
    return UsageSelection(
        f"e.meter_id = %({meter})s AND {of_customers} AND {has_no_price('e', current_quantity('e'))}",
        {meter: gap.meter_id, customers: gap.customer_ids, plans: gap.plan_ids},
        gap.customer_ids is None,
    )


def select_months(usage_filter: UsageFilter) -> UsageSelection:
    """Return the condition for a filter's months, and whether only late events are selected."""
    # A partial index has only the late events.
    conditions = [LATE] if usage_filter.selects_late_usage else ["true"]
    parameters: dict[str, object] = {}
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
    return UsageSelection(" AND ".join(conditions), parameters, not usage_filter.selects_late_usage)


def _select_months_by_time(usage_filter: UsageFilter) -> list[UsageSelection]:
    """Return the conditions for a filter's months, each for an index by time.

    The billing index is kept from being used for the events of the period itself. The planner would choose it
    for a new month, of which its statistics know nothing yet, and would sort a month for a page.
    """
    billed = usage_filter.billing_period
    if billed is None or (usage_filter.period is not None and usage_filter.selects_late_usage):
        return [select_months(usage_filter)]
    start, end = bounds(billed)
    parameters: dict[str, object] = {"billing_period": billed, "billed_start": start, "billed_end": end}
    late = UsageSelection(
        f"{LATE} AND e.occurred_at < %(billed_start)s AND e.billing_period = %(billing_period)s",
        parameters,
        is_by_meter=False,
    )
    own = UsageSelection(
        "(e.billing_period = %(billing_period)s) IS TRUE"
        " AND e.occurred_at >= %(billed_start)s AND e.occurred_at < %(billed_end)s",
        parameters,
    )
    if usage_filter.period is not None:
        return [own]
    return [late] if usage_filter.late_only else [own, late]


def _find_customers_with_key(session: Session, key: str) -> list[int]:
    """Return the customers who have an event with this key.

    One look-up per customer in the primary key, which the array ensures.
    """
    with driver_cursor(session) as db:
        db.execute(
            "SELECT e.customer_id FROM usage_event e"
            " WHERE e.customer_id = ANY(ARRAY(SELECT customer_id FROM customer)) AND e.idempotency_key = %s",
            [key],
        )
        return [customer_id for (customer_id,) in db]
