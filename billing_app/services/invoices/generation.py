"""Generate the invoices of closed periods, for one customer or for a chunk of thousands.

One transaction locks the customers' billing rows, computes the lines from the events, and writes
invoices, lines and the billing rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, NamedTuple

from psycopg import Cursor
from sqlmodel import Session

from billing_app.database.copying import copy_rows
from billing_app.database.session import driver_cursor, now, planning_checks_once
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.currencies import exponent
from billing_app.domain.invoice import (
    CONTENT_FORMAT,
    BilledCustomer,
    InvoiceContent,
    Issuer,
    content_sha256,
    due_date,
    invoice_number,
)
from billing_app.domain.lines import Line
from billing_app.services.adjustments.queries import apply_credit_to_new_invoices
from billing_app.services.invoices.charges import compute_lines
from billing_app.services.invoices.preconditions import require_ended, require_issuer
from billing_app.services.shared.permissions import require


class _BillingRow(NamedTuple):
    """A customer's locked billing row, with what an invoice copies of the customer."""

    customer_id: int
    closed_through: date
    settled_through: date
    last_number: int
    last_sha256: str | None
    currency: str
    customer: BilledCustomer


class CreatedInvoice(NamedTuple):
    """An invoice as it was just written."""

    customer_id: int
    sequence: int
    content: InvoiceContent
    sha256: str


@dataclass(frozen=True, slots=True)
class PeriodOutcome:
    """What happened to each customer of a chunk.

    `existing` and `skipped` are customer ids. Customers whose period is still open are in none of the lists.
    """

    created: tuple[CreatedInvoice, ...]
    existing: tuple[int, ...]
    skipped: tuple[int, ...]


def invoice_period(
    session: Session, actor: Actor, *, period_start: date, customer_ids: Sequence[int]
) -> PeriodOutcome:
    """Create one invoice for each customer whose period is closed and not settled yet.

    Concurrent calls create one invoice: the second waits for the billing row and finds the period
    settled. The number follows the customer's last one, and the hash includes the previous
    invoice's. A customer with nothing to invoice is skipped, which settles the period too. A customer's
    credit is applied to the invoice, up to its total.

    Raises:
        Conflict: `period_open`, `issuer_incomplete`.
    """
    require(actor, Permission.INVOICE)
    require_ended(session, period_start)
    issuer = require_issuer(session)
    with driver_cursor(session) as db:
        rows = _lock_billing_rows(db, customer_ids)
        due = [row for row in rows if row.settled_through < period_start <= row.closed_through]
        settled = [row.customer_id for row in rows if period_start <= row.settled_through]
        lines = compute_lines(db, period_start, [row.customer_id for row in due])
        created = [
            _create_invoice(row, period_start, now(session), issuer, lines[row.customer_id])
            for row in due
            if lines[row.customer_id]
        ]
        with planning_checks_once(session):
            _write_invoices(db, created)
            _write_lines(db, created)
        skipped = [row.customer_id for row in due if not lines[row.customer_id]]
        _settle(db, period_start, created, skipped)
        ids = [row.customer_id for row in due if lines[row.customer_id]]
        apply_credit_to_new_invoices(db, period_start, ids, recorded_at=now(session), recorded_by=actor.id)
        existing = _find_invoices(db, period_start, settled)
    return PeriodOutcome(
        created=tuple(created),
        existing=tuple(customer_id for customer_id in settled if customer_id in existing),
        skipped=(*skipped, *(customer_id for customer_id in settled if customer_id not in existing)),
    )


def _lock_billing_rows(db: Cursor[Any], customer_ids: Sequence[int]) -> list[_BillingRow]:
    """Lock the billing rows, always in the same order so that two chunks can't deadlock."""
    db.execute(
        """
        SELECT b.customer_id, b.closed_through, b.settled_through, b.last_number, b.last_sha256,
               c.currency, c.key, c.name, c.email, c.billing_address
        FROM customer_billing b JOIN customer c USING (customer_id)
        WHERE b.customer_id = ANY(%s)
        ORDER BY b.customer_id
        FOR NO KEY UPDATE OF b
        """,
        [list(customer_ids)],
    )
    return [
        _BillingRow(
            customer_id,
            closed_through=closed,
            settled_through=settled,
            last_number=number,
            last_sha256=sha256,
            currency=currency,
            customer=BilledCustomer(*snapshot),
        )
        for customer_id, closed, settled, number, sha256, currency, *snapshot in db
    ]


def _create_invoice(
    row: _BillingRow, period_start: date, issued_at: datetime, issuer: Issuer, lines: tuple[Line, ...]
) -> CreatedInvoice:
    sequence = row.last_number + 1
    content = InvoiceContent(
        number=invoice_number(row.customer.key, sequence),
        period_start=period_start,
        currency=row.currency,
        issued_at=issued_at,
        due_on=due_date(issued_at),
        issuer=issuer,
        customer=row.customer,
        lines=lines,
        total_minor=sum(line.amount_minor for line in lines),
        previous_sha256=row.last_sha256,
    )
    return CreatedInvoice(row.customer_id, sequence, content, content_sha256(content))


def _write_invoices(db: Cursor[Any], created: Sequence[CreatedInvoice]) -> None:
    copy_rows(
        db,
        "COPY invoice (customer_id, period_start, sequence, number, format, currency, issued_at, due_on,"
        " total_minor, line_count, issuer_name, issuer_address, issuer_email,"
        " issuer_payment_instructions, customer_key, customer_name, customer_email,"
        " customer_billing_address, previous_sha256, content_sha256) FROM STDIN",
        (
            (invoice.customer_id, content.period_start, invoice.sequence, content.number,
             CONTENT_FORMAT, content.currency, content.issued_at, content.due_on, content.total_minor,
             len(content.lines), *content.issuer, *content.customer, content.previous_sha256,
             invoice.sha256)
            for invoice in created
            for content in (invoice.content,)
        ),
    )  # fmt: skip


def _write_lines(db: Cursor[Any], created: Sequence[CreatedInvoice]) -> None:
    """Write the lines of all invoices in one statement, as the trigger on lines requires."""
    copy_rows(
        db,
        "COPY invoice_line (customer_id, period_start, line_number, currency_exponent,"
        f" {', '.join(Line._fields)}) FROM STDIN",
        (
            (invoice.customer_id, invoice.content.period_start, line_number, digits, *line)
            for invoice in created
            for digits in (exponent(invoice.content.currency),)
            for line_number, line in enumerate(invoice.content.lines, 1)
        ),
    )


def _settle(
    db: Cursor[Any], period_start: date, created: Sequence[CreatedInvoice], skipped: Sequence[int]
) -> None:
    """Mark the period as settled, and store each new invoice's number and hash as the customer's last."""
    db.execute(
        """
        UPDATE customer_billing b
        SET settled_through = i.period_start, last_number = i.sequence, last_sha256 = i.content_sha256
        FROM invoice i
        WHERE b.customer_id = ANY(%(ids)s) AND i.customer_id = b.customer_id
          AND i.customer_id = ANY(%(ids)s) AND i.period_start = %(period)s
        """,
        {"period": period_start, "ids": [invoice.customer_id for invoice in created]},
    )
    db.execute(
        "UPDATE customer_billing SET settled_through = %s WHERE customer_id = ANY(%s)",
        [period_start, list(skipped)],
    )


def _find_invoices(db: Cursor[Any], period_start: date, customer_ids: Sequence[int]) -> set[int]:
    """Return which of the customers have an invoice for the period."""
    db.execute(
        "SELECT customer_id FROM invoice WHERE period_start = %s AND customer_id = ANY(%s)",
        [period_start, list(customer_ids)],
    )
    return {customer_id for (customer_id,) in db}
