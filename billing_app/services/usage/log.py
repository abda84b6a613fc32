"""Reading usage events as a log, the newest moment first."""

from __future__ import annotations

from datetime import date, datetime
from typing import NamedTuple

from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.periods import bounds, period_of
from billing_app.models.usage import LATE
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require
from billing_app.services.usage.recording import EVENT_COLUMNS, UsageEventRow

COUNTED_MAX = 10_000


def list_usage(
    session: Session,
    actor: Actor,
    *,
    customer: str | None = None,
    period: date | None = None,
    billing_period: date | None = None,
    late_only: bool = False,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page[UsageEventRow]:
    """Events of a customer (id or key), a usage month, a billing period; late ones only if asked.

    Late is what is billed in a later period than it was used in. Ordered by moment, then customer
    and key, all descending.
    """
    require(actor, Permission.READ)
    check_limit(limit)
    condition, parameters = chosen(
        session, customer=customer, period=period, billing_period=billing_period, late_only=late_only
    )
    conditions = [condition]
    parameters["limit"] = limit + 1
    if after := decode_cursor(cursor, datetime, str, str):
        conditions.append(
            # The first part is implied by the second; it is what the index is ordered by.
            "e.occurred_at <= %(after_at)s AND (e.occurred_at, lower(c.key), e.idempotency_key)"
            " < (%(after_at)s, %(after_customer)s, %(after_key)s)"
        )
        parameters |= dict(zip(("after_at", "after_customer", "after_key"), after, strict=True))
    with driver_cursor(session) as db:
        db.execute(
            f"SELECT {EVENT_COLUMNS} FROM usage_event e JOIN customer c USING (customer_id)"
            f" WHERE {' AND '.join(conditions)}"
            " ORDER BY e.occurred_at DESC, lower(c.key) DESC, e.idempotency_key DESC LIMIT %(limit)s",
            parameters,
        )
        rows = [UsageEventRow(*row) for row in db]
    return page_of(rows, limit, lambda row: (row.occurred_at, row.customer.lower(), row.idempotency_key))


class Months(NamedTuple):
    """The first month in which anything was used, and the last one in which it is billed."""

    first: date
    last: date


def usage_months(session: Session, actor: Actor) -> Months | None:
    """From when to when there is usage, at once whatever there is of it; None when there is none."""
    require(actor, Permission.READ)
    with driver_cursor(session) as db:
        # Each by the end of an index.
        db.execute(
            "SELECT (SELECT min(occurred_at) FROM usage_event), (SELECT max(billing_period) FROM usage_event)"
        )
        found = db.fetchone()
    return Months(period_of(found[0]), found[1]) if found and found[0] else None


class Count(NamedTuple):
    """How many there are; or, when there are more, how many were counted."""

    number: int
    more: bool


def count_usage(
    session: Session,
    actor: Actor,
    *,
    customer: str | None = None,
    period: date | None = None,
    billing_period: date | None = None,
    late_only: bool = False,
) -> Count:
    """How many events `list_usage` would list, now; counted up to 10,000."""
    require(actor, Permission.READ)
    condition, parameters = chosen(
        session, customer=customer, period=period, billing_period=billing_period, late_only=late_only
    )
    with driver_cursor(session) as db:
        db.execute(
            f"SELECT count(*) FROM (SELECT FROM usage_event e WHERE {condition} LIMIT %(limit)s) counted",
            {**parameters, "limit": COUNTED_MAX + 1},
        )
        (number,) = db.fetchone() or (0,)
    return Count(min(number, COUNTED_MAX), number > COUNTED_MAX)


def chosen(
    session: Session,
    *,
    customer: str | None,
    period: date | None,
    billing_period: date | None,
    late_only: bool,
) -> tuple[str, dict[str, object]]:
    """The condition on usage_event e for a customer (id or key), a usage month, a billing period,
    and late ones only if asked, with its parameters. Raises NotFound (`customer_not_found`)."""
    # What is billed in another month than it was used in is late: few are, and they have an index.
    is_late = late_only or (None not in (period, billing_period) and period != billing_period)
    conditions = [LATE] if is_late else ["true"]
    parameters: dict[str, object] = {}
    if customer is not None:
        conditions.append("e.customer_id = %(customer_id)s")
        parameters["customer_id"] = get_customer_id(session, customer)
    if period is not None:
        conditions.append("e.occurred_at >= %(start)s AND e.occurred_at < %(end)s")
        # No event is billed before it was used: the index on billing periods can serve.
        conditions.append("e.billing_period >= %(period)s")
        start, end = bounds(period)
        parameters |= {"start": start, "end": end, "period": period}
    if billing_period is not None:
        # For the same reason: what occurred after the period need not be passed over.
        conditions.append("e.billing_period = %(billing_period)s AND e.occurred_at < %(billed_end)s")
        parameters |= {"billing_period": billing_period, "billed_end": bounds(billing_period)[1]}
    return " AND ".join(conditions), parameters
