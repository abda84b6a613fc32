"""The SQL condition that selects usage events. Unguarded: callers have checked their permission."""

from __future__ import annotations

from typing import NamedTuple

from sqlmodel import Session

from billing_app.domain.periods import bounds
from billing_app.models.usage import LATE
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.usage.filters import UsageFilter


class UsageSelection(NamedTuple):
    """A condition on `usage_event e`, and its parameters."""

    condition: str
    parameters: dict[str, object]


def select_usage(session: Session, wanted: UsageFilter) -> UsageSelection:
    """Return the condition for the filter.

    Raises:
        NotFound: `customer_not_found`.
    """
    # An event billed in another month than it was used in is late: there are few, and they have an index.
    spans_months = (
        None not in (wanted.period, wanted.billing_period) and wanted.period != wanted.billing_period
    )
    conditions = [LATE] if wanted.late_only or spans_months else ["true"]
    parameters: dict[str, object] = {}
    if wanted.customer is not None:
        conditions.append("e.customer_id = %(customer_id)s")
        parameters["customer_id"] = get_customer_id(session, wanted.customer)
    if wanted.period is not None:
        conditions.append("e.occurred_at >= %(start)s AND e.occurred_at < %(end)s")
        # No event is billed before it was used, so the index on billing periods can serve.
        conditions.append("e.billing_period >= %(period)s")
        start, end = bounds(wanted.period)
        parameters |= {"start": start, "end": end, "period": wanted.period}
    if wanted.billing_period is not None:
        # For the same reason, events that occurred after the period need not be read.
        conditions.append("e.billing_period = %(billing_period)s AND e.occurred_at < %(billed_end)s")
        parameters |= {
            "billing_period": wanted.billing_period,
            "billed_end": bounds(wanted.billing_period)[1],
        }
    return UsageSelection(" AND ".join(conditions), parameters)
