"""Listing and counting usage events, newest first."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from typing import NamedTuple

from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.periods import period_of
from billing_app.services.plans.meter_queries import read_all_meters
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require
from billing_app.services.usage.filters import ALL_USAGE, UsageFilter
from billing_app.services.usage.rows import UsageEventRow
from billing_app.services.usage.selection import (
    EVENT_COLUMNS,
    UsageSelection,
    merged,
    read_events,
    select_usage,
    select_usage_by_time,
)
from billing_app.services.usage.unpriced_sql import WITH_GAPS

COUNTED_MAX = 10_000


def list_usage(
    session: Session,
    actor: Actor,
    usage_filter: UsageFilter = ALL_USAGE,
    *,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page[UsageEventRow]:
    """List events in descending order of time, then customer, then idempotency key.

    Raises NotFound (`customer_not_found`) and Invalid.
    """
    require(actor, Permission.READ)
    check_limit(limit)
    parts = select_usage_by_time(session, usage_filter)
    meter_ids = list(read_all_meters(session))
    parameters: dict[str, object] = {"limit": limit + 1}
    beyond = "true"
    if after := decode_cursor(cursor, datetime, int, str):
        # The first comparison is redundant, but it lets the query use the index, which is ordered by time.
        beyond = (
            "e.occurred_at <= %(after_at)s AND (e.occurred_at, e.customer_id, e.idempotency_key)"
            " < (%(after_at)s, %(after_customer)s, %(after_key)s)"
        )
        parameters |= dict(zip(("after_at", "after_customer", "after_key"), after, strict=True))
    with driver_cursor(session) as db:
        newest = " UNION ALL ".join(_newest(part, beyond, meter_ids) for part in parts)
        parameters |= merged(parts)
        db.execute(
            f"{WITH_GAPS} SELECT * FROM ({newest}) newest ORDER BY occurred_at DESC, customer_id DESC,"
            " idempotency_key DESC LIMIT %(limit)s",
            parameters,
        )
        rows = [UsageEventRow(*row) for row in db]
    return page_of(rows, limit, lambda row: (row.occurred_at, row.customer_id, row.idempotency_key))


def _newest(part: UsageSelection, beyond: str, meter_ids: Iterable[int]) -> str:
    """Return a query for the first events of the list that a part selects, beyond the cursor."""

    def first(condition: str) -> str:
        order = "ORDER BY e.occurred_at DESC, e.customer_id DESC, e.idempotency_key DESC LIMIT %(limit)s"
        selected = read_events(f"{condition} AND {part.condition} AND {beyond}", order)
        return f"(SELECT {EVENT_COLUMNS} FROM {selected})"

    if not part.is_by_meter:
        return first("true")
    return " UNION ALL ".join(first(f"e.meter_id = {meter_id:d}") for meter_id in meter_ids)


class UsageMonths(NamedTuple):
    """The first usage month and the last billing period of all events."""

    first: date
    last: date


def find_usage_months(session: Session, actor: Actor) -> UsageMonths | None:
    """Return the months that usage spans, or None if there is none. Fast for any number of events."""
    require(actor, Permission.READ)
    with driver_cursor(session) as db:
        # Each subquery reads one end of an index, or of the part of it that has a meter's events.
        firsts = ", ".join(
            f"(SELECT min(occurred_at) FROM usage_event WHERE meter_id = {meter_id:d})"
            for meter_id in read_all_meters(session)
        )
        db.execute(f"SELECT least({firsts}), (SELECT max(billing_period) FROM usage_event)")
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
        f"(SELECT 1 FROM usage_event e WHERE {part.condition} LIMIT %(limit)s)" for part in parts
    )
    parameters = merged(parts) | {"limit": COUNTED_MAX + 1}
    with driver_cursor(session) as db:
        db.execute(f"{WITH_GAPS} SELECT count(*) FROM ({counted}) counted", parameters)
        (number,) = db.fetchone() or (0,)
    return UsageCount(min(number, COUNTED_MAX), number > COUNTED_MAX)
