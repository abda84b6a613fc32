"""Listing and counting usage events, newest first."""

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
from billing_app.services.usage.rows import UsageEventRow
from billing_app.services.usage.selection import (
    EVENT_COLUMNS,
    UsageSelection,
    merged,
    select_usage,
    select_usage_by_time,
)

COUNTED_MAX = 10_000


def list_usage(
    session: Session,
    actor: Actor,
    usage_filter: UsageFilter = ALL_USAGE,
    *,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page[UsageEventRow]:
    """List events in descending order of time, then customer key, then idempotency key.

    Raises NotFound (`customer_not_found`) and Invalid.
    """
    require(actor, Permission.READ)
    check_limit(limit)
    parts = select_usage_by_time(session, usage_filter)
    parameters: dict[str, object] = {"limit": limit + 1}
    beyond = "true"
    if after := decode_cursor(cursor, datetime, str, str):
        # The first comparison is redundant, but it lets the query use the index, which is ordered by time.
        beyond = (
            "e.occurred_at <= %(after_at)s AND (e.occurred_at, lower(c.key), e.idempotency_key)"
            " < (%(after_at)s, %(after_customer)s, %(after_key)s)"
        )
        parameters |= dict(zip(("after_at", "after_customer", "after_key"), after, strict=True))
    with driver_cursor(session) as db:
        newest = " UNION ALL ".join(_newest(part, beyond) for part in parts)
        parameters |= merged(parts)
        db.execute(
            f"SELECT * FROM ({newest}) newest ORDER BY occurred_at DESC, lower(key) DESC,"
            " idempotency_key DESC LIMIT %(limit)s",
            parameters,
        )
        rows = [UsageEventRow(*row) for row in db]
    return page_of(rows, limit, lambda row: (row.occurred_at, row.customer_key.lower(), row.idempotency_key))


def _newest(part: UsageSelection, beyond: str) -> str:
    """Return a query for the first events of the list that a part selects, beyond the cursor."""

    def first(condition: str) -> str:
        return (
            f"(SELECT {EVENT_COLUMNS} FROM usage_event e JOIN customer c USING (customer_id)"
            f" WHERE {condition} AND {part.condition} AND {beyond}"
            " ORDER BY e.occurred_at DESC, lower(c.key) DESC, e.idempotency_key DESC LIMIT %(limit)s)"
        )

    if not part.is_by_meter:
        return first("true")
    return f"(SELECT first.* FROM meter m CROSS JOIN LATERAL {first('e.meter_id = m.meter_id')} first)"


class UsageMonths(NamedTuple):
    """The first usage month and the last billing period of all events."""

    first: date
    last: date


def find_usage_months(session: Session, actor: Actor) -> UsageMonths | None:
    """Return the months that usage spans, or None if there is none. Fast for any number of events."""
    require(actor, Permission.READ)
    with driver_cursor(session) as db:
        # Each subquery reads one end of an index, or of the part of it that has a meter's events.
        db.execute(
            "SELECT (SELECT min(e.first) FROM meter m CROSS JOIN LATERAL ("
            "SELECT min(occurred_at) AS first FROM usage_event WHERE meter_id = m.meter_id) e),"
            " (SELECT max(billing_period) FROM usage_event)"
        )
        found = db.fetchone()
    return UsageMonths(period_of(found[0]), found[1]) if found and found[0] else None


class UsageCount(NamedTuple):
    """A number of events. `has_more` is true if counting stopped at the limit."""

    number: int
    has_more: bool


def count_usage(session: Session, actor: Actor, usage_filter: UsageFilter = ALL_USAGE) -> UsageCount:
    """Count the events that `list_usage` lists, up to 10,000. Raises NotFound (`customer_not_found`)."""
    require(actor, Permission.READ)
    parts = select_usage(session, usage_filter)
    counted = " UNION ALL ".join(
        f"(SELECT FROM usage_event e WHERE {part.condition} LIMIT %(limit)s)" for part in parts
    )
    parameters = merged(parts) | {"limit": COUNTED_MAX + 1}
    with driver_cursor(session) as db:
        db.execute(f"SELECT count(*) FROM ({counted}) counted", parameters)
        (number,) = db.fetchone() or (0,)
    return UsageCount(min(number, COUNTED_MAX), number > COUNTED_MAX)
