"""List invoices, and read one with its lines."""

from __future__ import annotations

from datetime import date
from typing import Any

from psycopg import Cursor
from sqlmodel import Session

from billing_app.database.session import driver_cursor, now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.invoice import NumberGap, content_sha256, gap_sha256
from billing_app.errors import Invalid, NotFound
from billing_app.services.invoices.filters import ALL_INVOICES, InvoiceFilter
from billing_app.services.invoices.queries import (
    PAID_INVOICE_COLUMNS,
    PaidInvoice,
    find_gap,
    list_query,
    locate_invoice,
    paid_invoice,
    read_lines,
)
from billing_app.services.invoices.rows import InvoiceDetail, InvoiceRow
from billing_app.services.invoices.selection import select_invoices
from billing_app.services.payments.queries import JOIN_PAID, PAID_FROM_CREDIT
from billing_app.services.shared.pagination import (
    LIMIT_DEFAULT,
    Page,
    check_limit,
    decode_sorted,
    page_of,
)
from billing_app.services.shared.permissions import require

NEWEST_FIRST, OLDEST_FIRST = "-period", "period"
SORTS = (NEWEST_FIRST, OLDEST_FIRST)


def list_invoices(
    session: Session,
    actor: Actor,
    invoice_filter: InvoiceFilter = ALL_INVOICES,
    *,
    sort: str = NEWEST_FIRST,
    limit: int = LIMIT_DEFAULT,
    cursor: str | None = None,
) -> Page[InvoiceRow]:
    """List invoices a page at a time, ordered by period.

    Raises:
        NotFound: `customer_not_found`.
        Invalid: The filter, the sort, the limit or the cursor breaks a rule.
    """
    require(actor, Permission.READ)
    check_limit(limit)
    if sort not in SORTS:
        raise Invalid("sort", "not_a_choice", choices=SORTS)
    after = decode_sorted(cursor, sort, date, int)
    query, parameters = list_query(
        select_invoices(session, invoice_filter), oldest_first=sort == OLDEST_FIRST, after=after
    )
    today = now(session).date()
    with driver_cursor(session).connection.cursor(row_factory=paid_invoice) as db:
        db.execute(f"{query} LIMIT %(limit)s", {**parameters, "limit": limit + 1})
        rows = [found.as_row(today) for found in db]
    return page_of(rows, limit, lambda row: (sort, row.period_start, row.customer_id))


def get_invoice(session: Session, actor: Actor, number: str) -> InvoiceDetail:
    """Return one invoice by its number, ignoring case.

    Raises:
        NotFound: `invoice_not_found`.
    """
    require(actor, Permission.READ)
    with driver_cursor(session) as db:
        found, previous, gap = _find_invoice(db, number)
        key = (found.invoice.customer_id, found.invoice.period_start)
        lines = read_lines(db, *key)
        (from_credit_minor,) = db.execute(PAID_FROM_CREDIT, key).fetchone() or (0,)
    content = found.invoice.content(lines)
    row = found.as_row(now(session).date())
    return InvoiceDetail(
        customer_id=row.customer_id,
        customer=row.customer,
        number=row.number,
        period_start=row.period_start,
        currency=row.currency,
        total_minor=row.total_minor,
        paid_minor=row.paid_minor,
        payment_status=row.payment_status,
        issued_at=row.issued_at,
        due_on=row.due_on,
        content_sha256=row.content_sha256,
        issuer=content.issuer,
        lines=lines,
        previous_sha256=content.previous_sha256,
        chain_ok=content_sha256(content) == row.content_sha256
        and content.previous_sha256 == _hash_before(previous, gap),
        gap_before=gap.numbers if gap else None,
        paid_from_credit_minor=int(from_credit_minor),
    )


def _find_invoice(db: Cursor[Any], number: str) -> tuple[PaidInvoice, PaidInvoice | None, NumberGap | None]:
    """Return an invoice, and the customer's previous invoice or the gap that is in its place."""
    customer_id, sequence = locate_invoice(db, number)
    with db.connection.cursor(row_factory=paid_invoice) as invoices:
        invoices.execute(
            f"SELECT {PAID_INVOICE_COLUMNS} FROM invoice i {JOIN_PAID}"
            " WHERE i.customer_id = %(id)s AND i.sequence IN (%(sequence)s, %(sequence)s - 1)",
            {"id": customer_id, "sequence": sequence},
        )
        by_sequence = {found.invoice.sequence: found for found in invoices}
    if sequence not in by_sequence:
        raise NotFound("invoice_not_found", named=number)
    previous = by_sequence.get(sequence - 1)
    gap = None if previous else find_gap(db, customer_id, last_sequence=sequence - 1)
    return by_sequence[sequence], previous, gap


def _hash_before(previous: PaidInvoice | None, gap: NumberGap | None) -> str | None:
    """Return the hash that an invoice must contain: the previous invoice's or that of a gap, if any."""
    if previous:
        return previous.invoice.content_sha256
    return gap_sha256(gap) if gap else None
