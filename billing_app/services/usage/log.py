"""Reading usage events as a log, the newest moment first."""

from __future__ import annotations

from datetime import date, datetime
from typing import NamedTuple

from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.periods import period_of
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require
from billing_app.services.usage.filters import ALL_USAGE, UsageFilter
from billing_app.services.usage.recording import EVENT_COLUMNS, UsageEventRow
from billing_app.services.usage.selection import select_usage

COUNTED_MAX = 10_000


def list_usage(
    session: Session,
    actor: Actor,
    wanted: UsageFilter = ALL_USAGE,
    *,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page[UsageEventRow]:
    """List usage events a page at a time, ordered by time, then customer and key, all descending.

    Raises:
        NotFound: `customer_not_found`.
    """
    require(actor, Permission.READ)
    check_limit(limit)
    condition, parameters = select_usage(session, wanted)
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


def count_usage(session: Session, actor: Actor, wanted: UsageFilter = ALL_USAGE) -> Count:
    """Count the events that `list_usage` would list, up to 10,000."""
    require(actor, Permission.READ)
    condition, parameters = select_usage(session, wanted)
    with driver_cursor(session) as db:
        db.execute(
            f"SELECT count(*) FROM (SELECT FROM usage_event e WHERE {condition} LIMIT %(limit)s) counted",
            {**parameters, "limit": COUNTED_MAX + 1},
        )
        (number,) = db.fetchone() or (0,)
    return Count(min(number, COUNTED_MAX), number > COUNTED_MAX)
