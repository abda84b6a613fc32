"""Reading invoices: lists, one whole invoice, and the very events behind each line."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from psycopg import Cursor
from psycopg.rows import namedtuple_row
from sqlmodel import Session

from billing_app.database.session import driver_cursor, now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.invoice import (
    BilledCustomer,
    InvoiceContent,
    Issuer,
    PaymentStatus,
    content_sha256,
    payment_status,
    split_invoice_number,
)
from billing_app.domain.periods import bounds
from billing_app.domain.rating import Line
from billing_app.errors import Invalid, NotFound
from billing_app.services.invoices.filters import chosen
from billing_app.services.payments.queries import JOIN_OPEN, JOIN_PAID
from billing_app.services.shared.pagination import (
    LIMIT_DEFAULT,
    Page,
    check_limit,
    decode_cursor,
    decode_sorted,
    page_of,
)
from billing_app.services.shared.permissions import require
from billing_app.services.usage.days import DailyUsage
from billing_app.services.usage.rows import UsageEventRow
from billing_app.services.usage.selection import EVENT_COLUMNS


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    """An invoice in a list. `paid_minor` is what was received less reversals."""

    customer_id: int
    customer_key: str
    customer_name: str
    number: str
    period_start: date
    currency: str
    total_minor: int
    paid_minor: int
    balance_minor: int
    payment_status: PaymentStatus
    issued_at: datetime
    due_on: date
    customer: BilledCustomer
    content_sha256: str


@dataclass(frozen=True, slots=True)
class InvoiceDetail(InvoiceRow):
    """A whole invoice as it was made, with what has been paid since.

    `chain_ok`: the stored hash is that of the content, and the previous invoice's hash is the
    one that the content includes.
    """

    issuer: Issuer
    lines: tuple[Line, ...]
    previous_sha256: str | None
    chain_ok: bool


INVOICE_COLUMNS = """
    i.customer_id, i.customer_key, i.customer_name, i.number, i.period_start, i.currency,
    i.total_minor, i.issued_at, i.due_on, i.line_count, i.issuer_name, i.issuer_address,
    i.issuer_email, i.issuer_payment_instructions, i.customer_email, i.customer_billing_address,
    i.content_sha256, i.previous_sha256, i.sequence
"""

LINE_COLUMNS = """
    l.kind, l.description, l.usage_period, l.plan_name, l.plan_version, l.quantity,
    l.quantity_before, l.quantity_after, l.included_quantity, l.overage_quantity, l.unit_price,
    l.exact_amount, l.rated_minor, l.exact_amount_before, l.already_charged_minor, l.amount_minor
"""

LAST_FIRST = "-period"
SORTS = (LAST_FIRST, "period")


class Selection(NamedTuple):
    """Which invoices: SQL over `invoice i` with `paid` beside it, and its parameters."""

    query: str
    parameters: dict[str, Any]


def select_invoices(
    session: Session,
    *,
    customer: str | None,
    period: date | None,
    status: str | None,
    age: str | None = None,
    currency: str | None = None,
    search: str | None = None,
    sort: str = LAST_FIRST,
    after: tuple[Any, ...] | None = None,
) -> Selection:
    """The rows of `row_of`, the newest period first. For services that asked for their permission.

    Raises NotFound (`customer_not_found`), Invalid.
    """
    conditions, parameters = chosen(
        session,
        customer=customer,
        period=period,
        status=status,
        age=age,
        currency=currency,
        search=search,
    )
    direction, beyond = ("DESC", "<") if sort == LAST_FIRST else ("ASC", ">")
    if after:
        conditions.append(f"(i.period_start, i.customer_id) {beyond} (%(after_period)s, %(after_id)s)")
        parameters["after_period"], parameters["after_id"] = after
    query = (
        f"SELECT {INVOICE_COLUMNS}, paid.paid_minor FROM invoice i {JOIN_OPEN} {JOIN_PAID}"
        f" WHERE {' AND '.join(conditions)}"
        f" ORDER BY i.period_start {direction}, i.customer_id {direction}"
    )
    return Selection(query, parameters)


def list_invoices(
    session: Session,
    actor: Actor,
    *,
    customer: str | None = None,
    period: date | None = None,
    status: str | None = None,
    age: str | None = None,
    currency: str | None = None,
    search: str | None = None,
    sort: str = LAST_FIRST,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page[InvoiceRow]:
    """Invoices of one customer (id or key), period, payment status, age of what is owed (of AGES),
    currency, each once.

    `search` is looked for within the customer's name and key, as they are now, and at the beginning
    of numbers. The newest period comes first (`-period`), or last (`period`).
    """
    require(actor, Permission.READ)
    check_limit(limit)
    if sort not in SORTS:
        raise Invalid("sort", "not_a_choice", choices=SORTS)
    after = decode_sorted(cursor, sort, date, int)
    query, parameters = select_invoices(
        session,
        customer=customer,
        period=period,
        status=status,
        age=age,
        currency=currency,
        search=search,
        sort=sort,
        after=after,
    )
    with driver_cursor(session) as db:
        found = _fetch(db, f"{query} LIMIT %(limit)s", {**parameters, "limit": limit + 1})
    rows = [row_of(each, now(session).date()) for each in found]
    return page_of(rows, limit, lambda row: (sort, row.period_start, row.customer_id))


def get_invoice(session: Session, actor: Actor, number: str) -> InvoiceDetail:
    """One invoice by its number, without case. Raises NotFound (`invoice_not_found`)."""
    require(actor, Permission.READ)
    with driver_cursor(session) as db:
        customer_id, sequence = locate(db, number)
        found = _fetch(
            db,
            f"SELECT {INVOICE_COLUMNS}, paid.paid_minor FROM invoice i {JOIN_PAID}"
            " WHERE i.customer_id = %(id)s AND i.sequence IN (%(sequence)s, %(sequence)s - 1)"
            " ORDER BY i.sequence DESC",
            {"id": customer_id, "sequence": sequence},
        )
        if not found or found[0].sequence != sequence:
            raise _no_invoice(number)
        db.execute(
            f"SELECT {LINE_COLUMNS} FROM invoice_line l"
            " WHERE l.customer_id = %s AND l.period_start = %s ORDER BY l.line_number",
            [customer_id, found[0].period_start],
        )
        lines = tuple(line_of(row) for row in db.fetchall())
    content = content_of(found[0], lines)
    previous = found[1].content_sha256 if len(found) > 1 else None
    return InvoiceDetail(
        **_row_fields(found[0], now(session).date()),
        issuer=content.issuer,
        lines=lines,
        previous_sha256=content.previous_sha256,
        chain_ok=content_sha256(content) == found[0].content_sha256 and content.previous_sha256 == previous,
    )


def list_invoice_events(
    session: Session,
    actor: Actor,
    number: str,
    *,
    line_number: int | None = None,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page[UsageEventRow]:
    """The very events that an invoice, or one of its lines, was made of, in order of time."""
    require(actor, Permission.READ)
    check_limit(limit)
    after = decode_cursor(cursor, datetime, str)
    with driver_cursor(session) as db:
        where, parameters = _events_of(db, number, line_number)
        if after:
            where += " AND (e.occurred_at, e.idempotency_key) > (%(after_at)s, %(after_key)s)"
            parameters["after_at"], parameters["after_key"] = after
        db.execute(
            f"SELECT {EVENT_COLUMNS} FROM usage_event e JOIN customer c USING (customer_id) WHERE {where}"
            " ORDER BY e.occurred_at, e.idempotency_key LIMIT %(limit)s",
            {**parameters, "limit": limit + 1},
        )
        rows = [UsageEventRow(*row) for row in db]
    return page_of(rows, limit, lambda row: (row.occurred_at, row.idempotency_key))


def usage_per_day(session: Session, actor: Actor, number: str, line_number: int) -> tuple[DailyUsage, ...]:
    """A line's usage by UTC day: at most the 31 days of its usage month, only days with usage."""
    require(actor, Permission.READ)
    with driver_cursor(session) as db:
        where, parameters = _events_of(db, number, line_number)
        db.execute(
            "SELECT (e.occurred_at AT TIME ZONE 'UTC')::date, sum(e.quantity), count(*)"
            f" FROM usage_event e WHERE {where} GROUP BY 1 ORDER BY 1",
            parameters,
        )
        return tuple(DailyUsage(*row) for row in db)


def locate(db: Cursor[Any], number: str) -> tuple[int, int]:
    """The customer's id and the sequence that an invoice number means.

    Raises NotFound (`invoice_not_found`); that the customer has that many invoices is not asked.
    """
    parts = split_invoice_number(number)
    # Keys are ASCII, and what the database can't hold is not among them.
    if parts and number.isascii() and "\0" not in number:
        db.execute("SELECT customer_id FROM customer WHERE lower(key) = %s", [parts[0]])
        if row := db.fetchone():
            return row[0], parts[1]
    raise _no_invoice(number)


def content_of(row: Any, lines: tuple[Line, ...]) -> InvoiceContent:
    """What a stored invoice says, out of its `INVOICE_COLUMNS` and its lines."""
    return InvoiceContent(
        number=row.number,
        period_start=row.period_start,
        currency=row.currency,
        issued_at=row.issued_at,
        due_on=row.due_on,
        issuer=Issuer(row.issuer_name, row.issuer_address, row.issuer_email, row.issuer_payment_instructions),
        customer=_customer_of(row),
        lines=lines,
        total_minor=int(row.total_minor),
        previous_sha256=row.previous_sha256,
    )


def line_of(columns: tuple[Any, ...]) -> Line:
    """A stored line, out of its `LINE_COLUMNS`."""
    line = Line(*columns)
    return line._replace(
        rated_minor=int(line.rated_minor),
        already_charged_minor=int(line.already_charged_minor),
        amount_minor=int(line.amount_minor),
    )


def _events_of(db: Cursor[Any], number: str, line_number: int | None) -> tuple[str, dict[str, Any]]:
    """The condition that selects the events of an invoice or of one of its lines."""
    customer_id, sequence = locate(db, number)
    db.execute(
        "SELECT i.period_start, l.usage_period FROM invoice i"
        " LEFT JOIN invoice_line l ON l.customer_id = i.customer_id"
        "  AND l.period_start = i.period_start AND l.line_number = %s"
        " WHERE i.customer_id = %s AND i.sequence = %s",
        [line_number, customer_id, sequence],
    )
    row = db.fetchone()
    if row is None:
        raise _no_invoice(number)
    period_start, usage_period = row
    where = "e.customer_id = %(customer_id)s AND e.billing_period = %(period)s"
    parameters: dict[str, Any] = {"customer_id": customer_id, "period": period_start}
    if line_number is not None:
        if usage_period is None:
            raise NotFound("line_not_found", number=number, line=line_number)
        where += " AND e.occurred_at >= %(start)s AND e.occurred_at < %(end)s"
        parameters["start"], parameters["end"] = bounds(usage_period)
    return where, parameters


def row_of(row: Any, today: date) -> InvoiceRow:
    """An invoice in a list, out of a row of `select_invoices`."""
    return InvoiceRow(**_row_fields(row, today))


def _customer_of(row: Any) -> BilledCustomer:
    return BilledCustomer(
        row.customer_key, row.customer_name, row.customer_email, row.customer_billing_address
    )


def _row_fields(row: Any, today: date) -> dict[str, Any]:
    total_minor, paid_minor = int(row.total_minor), int(row.paid_minor)
    return {
        "customer_id": row.customer_id,
        "customer_key": row.customer_key,
        "customer_name": row.customer_name,
        "number": row.number,
        "period_start": row.period_start,
        "currency": row.currency,
        "total_minor": total_minor,
        "paid_minor": paid_minor,
        "balance_minor": total_minor - paid_minor,
        "payment_status": payment_status(total_minor, paid_minor, row.due_on, today),
        "issued_at": row.issued_at,
        "due_on": row.due_on,
        "customer": _customer_of(row),
        "content_sha256": row.content_sha256,
    }


def _fetch(db: Cursor[Any], query: str, parameters: dict[str, Any]) -> list[Any]:
    with db.connection.cursor(row_factory=namedtuple_row) as named:
        return named.execute(query, parameters).fetchall()


def _no_invoice(number: str) -> NotFound:
    return NotFound("invoice_not_found", named=number)
