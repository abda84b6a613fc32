"""Read the usage behind an invoice: the events and corrections of its lines, and their sums by day."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from psycopg import Cursor
from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.periods import next_period, start_of_day
from billing_app.domain.terms import Aggregation
from billing_app.errors import NotFound
from billing_app.services.invoices.queries import locate_invoice
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require
from billing_app.services.usage.correction_rows import CORRECTION_COLUMNS, CorrectionRow, read_corrections
from billing_app.services.usage.days import DailyUsage
from billing_app.services.usage.rows import UsageEventRow
from billing_app.services.usage.selection import EVENT_COLUMNS, read_events


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
        condition, parameters, _ = _select_events(db, number, line_number)
        if after:
            condition += " AND (e.occurred_at, e.idempotency_key) > (%(after_at)s, %(after_key)s)"
            parameters["after_at"], parameters["after_key"] = after
        db.execute(
            f"SELECT {EVENT_COLUMNS} FROM {read_events(condition, _IN_ORDER)} {_ORDER}",
            {**parameters, "limit": limit + 1},
        )
        rows = [UsageEventRow(*row) for row in db]
    return page_of(rows, limit, lambda row: (row.occurred_at, row.idempotency_key))


def list_invoice_corrections(
    session: Session,
    actor: Actor,
    number: str,
    *,
    line_number: int | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page[CorrectionRow]:
    """List the corrections that an invoice, or one of its lines, charges, ordered by the time of their events.

    Raises:
        NotFound: `invoice_not_found`, `line_not_found`.
    """
    require(actor, Permission.READ)
    check_limit(limit)
    after = decode_cursor(cursor, datetime, str, int)
    with driver_cursor(session) as db:
        condition, parameters, _ = _select_events(db, number, line_number, "k")
        if after:
            condition += (
                " AND (k.occurred_at, k.idempotency_key, k.number)"
                " > (%(after_at)s, %(after_key)s, %(after_number)s)"
            )
            parameters |= dict(zip(("after_at", "after_key", "after_number"), after, strict=True))
        db.execute(
            f"SELECT {CORRECTION_COLUMNS} FROM {read_corrections(condition)}"
            " ORDER BY k.occurred_at, k.idempotency_key, k.number LIMIT %(limit)s",
            {**parameters, "limit": limit + 1},
        )
        rows = [CorrectionRow(*row) for row in db]
    return page_of(rows, limit, lambda row: (row.occurred_at, row.idempotency_key, row.number))


def sum_usage_per_day(
    session: Session, actor: Actor, number: str, line_number: int
) -> tuple[DailyUsage, ...]:
    """Aggregate a line's usage by UTC day, as its meter does. Days without usage are left out.

    For a meter that adds up, the corrections that the invoice bills are included.

    Raises:
        NotFound: `invoice_not_found`, `line_not_found`.
    """
    require(actor, Permission.READ)
    with driver_cursor(session) as db:
        condition, parameters, aggregation = _select_events(db, number, line_number)
        db.execute(
            f"SELECT (e.occurred_at AT TIME ZONE 'UTC')::date, {_AGGREGATES[aggregation]}, sum(e.events)::int"
            f" FROM ({_EVENTS}{_AND_CORRECTIONS if aggregation == 'sum' else ''}) e"
            f" WHERE {condition} GROUP BY 1 ORDER BY 1",
            parameters,
        )
        return tuple(DailyUsage(*row) for row in db)


_ORDER = "ORDER BY e.occurred_at, e.idempotency_key"
_IN_ORDER = f"{_ORDER} LIMIT %(limit)s"
_EVENTS = (
    "SELECT customer_id, billing_period, meter_id, occurred_at, quantity, item, 1 AS events FROM usage_event"
)
_AND_CORRECTIONS = (
    " UNION ALL SELECT customer_id, billing_period, meter_id, occurred_at, difference, NULL, 0"
    " FROM usage_correction"
)
_AGGREGATES: dict[Aggregation, str] = {
    "sum": "sum(e.quantity)",
    "max": "max(e.quantity)",
    "unique": "count(DISTINCT e.item)::numeric",
}


class _EventSelection(NamedTuple):
    """A condition on events, its parameters, and how the meter aggregates the events."""

    condition: str
    parameters: dict[str, object]
    aggregation: Aggregation


def _select_events(
    db: Cursor[Any], number: str, line_number: int | None, alias: str = "e"
) -> _EventSelection:
    """Select the events of an invoice, or of one of its lines. Corrections are selected alike.

    A line has the events of its days, or those of the whole month if the meter's quantity is that of the month.
    """
    customer_id, sequence = locate_invoice(db, number)
    db.execute(
        "SELECT i.period_start, m.meter_id, l.aggregation, l.usage_period, l.segment_start, l.segment_end"
        " FROM invoice i LEFT JOIN invoice_line l ON l.customer_id = i.customer_id"
        "  AND l.period_start = i.period_start AND l.line_number = %s"
        " LEFT JOIN meter m ON m.code = l.meter_code"
        " WHERE i.customer_id = %s AND i.sequence = %s",
        [line_number, customer_id, sequence],
    )
    row = db.fetchone()
    if row is None:
        raise NotFound("invoice_not_found", named=number)
    period_start, meter_id, aggregation, usage_period, start, end = row
    condition = f"{alias}.customer_id = %(customer_id)s AND {alias}.billing_period = %(period)s"
    parameters: dict[str, object] = {"customer_id": customer_id, "period": period_start}
    if line_number is not None:
        if meter_id is None:
            raise NotFound("line_not_found", number=number, line=line_number)
        if aggregation != "sum":
            start, end = usage_period, next_period(usage_period)
        condition += (
            f" AND {alias}.meter_id = %(meter_id)s"
            f" AND {alias}.occurred_at >= %(start)s AND {alias}.occurred_at < %(end)s"
        )
        parameters |= {"meter_id": meter_id, "start": start_of_day(start), "end": start_of_day(end)}
    return _EventSelection(condition, parameters, aggregation or "sum")
