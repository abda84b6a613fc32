"""Read the usage behind an invoice: the events of its lines, and their sums by day."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from psycopg import Cursor
from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.periods import bounds
from billing_app.errors import NotFound
from billing_app.services.invoices.queries import locate_invoice
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require
from billing_app.services.usage.days import DailyUsage
from billing_app.services.usage.rows import UsageEventRow
from billing_app.services.usage.selection import EVENT_COLUMNS


def list_invoice_events(
    session: Session,
    actor: Actor,
    number: str,
    *,
    line_number: int | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page[UsageEventRow]:
    """List the events that an invoice, or one of its lines, charges, ordered by time.

    Raises:
        NotFound: `invoice_not_found`, `line_not_found`.
    """
    require(actor, Permission.READ)
    check_limit(limit)
    after = decode_cursor(cursor, datetime, str)
    with driver_cursor(session) as db:
        condition, parameters = _select_events(db, number, line_number)
        if after:
            condition += " AND (e.occurred_at, e.idempotency_key) > (%(after_at)s, %(after_key)s)"
            parameters["after_at"], parameters["after_key"] = after
        db.execute(
            f"SELECT {EVENT_COLUMNS} FROM usage_event e JOIN customer c USING (customer_id) WHERE {condition}"
            " ORDER BY e.occurred_at, e.idempotency_key LIMIT %(limit)s",
            {**parameters, "limit": limit + 1},
        )
        rows = [UsageEventRow(*row) for row in db]
    return page_of(rows, limit, lambda row: (row.occurred_at, row.idempotency_key))


def sum_usage_per_day(
    session: Session, actor: Actor, number: str, line_number: int
) -> tuple[DailyUsage, ...]:
    """Sum a line's usage by UTC day. Days without usage are left out.

    Raises:
        NotFound: `invoice_not_found`, `line_not_found`.
    """
    require(actor, Permission.READ)
    with driver_cursor(session) as db:
        condition, parameters = _select_events(db, number, line_number)
        db.execute(
            "SELECT (e.occurred_at AT TIME ZONE 'UTC')::date, sum(e.quantity), count(*)"
            f" FROM usage_event e WHERE {condition} GROUP BY 1 ORDER BY 1",
            parameters,
        )
        return tuple(DailyUsage(*row) for row in db)


class _EventSelection(NamedTuple):
    """A condition on `usage_event e`, and its parameters."""

    condition: str
    parameters: dict[str, object]


def _select_events(db: Cursor[Any], number: str, line_number: int | None) -> _EventSelection:
    """Select the events of an invoice, or of one of its lines."""
    customer_id, sequence = locate_invoice(db, number)
    db.execute(
        "SELECT i.period_start, l.usage_period FROM invoice i"
        " LEFT JOIN invoice_line l ON l.customer_id = i.customer_id"
        "  AND l.period_start = i.period_start AND l.line_number = %s"
        " WHERE i.customer_id = %s AND i.sequence = %s",
        [line_number, customer_id, sequence],
    )
    row = db.fetchone()
    if row is None:
        raise NotFound("invoice_not_found", named=number)
    period_start, usage_period = row
    condition = "e.customer_id = %(customer_id)s AND e.billing_period = %(period)s"
    parameters: dict[str, object] = {"customer_id": customer_id, "period": period_start}
    if line_number is not None:
        if usage_period is None:
            raise NotFound("line_not_found", number=number, line=line_number)
        condition += " AND e.occurred_at >= %(start)s AND e.occurred_at < %(end)s"
        parameters["start"], parameters["end"] = bounds(usage_period)
    return _EventSelection(condition, parameters)
