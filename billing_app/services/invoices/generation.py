"""Making invoices out of closed periods.

For one customer or for a chunk of thousands alike: the billing rows are locked, the lines are
computed from the events, and invoices, lines and marks are written, all in one transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from psycopg import Cursor
from sqlmodel import Session

from billing_app.database.session import driver_cursor, now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.currencies import exponent
from billing_app.domain.invoice import (
    BilledCustomer,
    InvoiceContent,
    Issuer,
    content_sha256,
    due_date,
    invoice_number,
)
from billing_app.domain.rating import Line
from billing_app.services.invoices.charges import compute_lines
from billing_app.services.invoices.closing import require_ended
from billing_app.services.shared.permissions import require


class _Head(NamedTuple):
    """A locked billing row with what an invoice copies of its customer."""

    customer_id: int
    closed_through: date
    settled_through: date
    last_number: int
    last_sha256: str | None
    currency: str
    customer: BilledCustomer


class MadeInvoice(NamedTuple):
    """An invoice that was just made."""

    customer_id: int
    content: InvoiceContent
    sha256: str


@dataclass(frozen=True, slots=True)
class Invoiced:
    """What became of each customer of a chunk; customers whose period is open are in none."""

    made: tuple[MadeInvoice, ...]
    existing: tuple[int, ...]
    passed: tuple[int, ...]


def invoice_period(
    session: Session, actor: Actor, *, period_start: date, customer_ids: Sequence[int]
) -> Invoiced:
    """Makes the one invoice of each customer whose period is closed and not settled yet.

    Two at once make one: the second waits for the billing row and finds the month settled. The
    number follows the last one, the hash includes the previous invoice's. A customer with
    nothing to invoice is passed over, which settles the month too.
    """
    require(actor, Permission.INVOICE)
    require_ended(session, period_start)
    with driver_cursor(session) as db:
        heads = _lock_heads(db, customer_ids)
        due = [head for head in heads if head.settled_through < period_start <= head.closed_through]
        settled = [head.customer_id for head in heads if period_start <= head.settled_through]
        lines = compute_lines(db, period_start, [head.customer_id for head in due])
        owing = [(head, lines[head.customer_id]) for head in due if lines[head.customer_id]]
        passed = [head.customer_id for head in due if not lines[head.customer_id]]
        made = _write_invoices(session, db, period_start, owing)
        _write_lines(db, period_start, made)
        _settle(db, period_start, made, passed)
        existing = _with_invoice(db, period_start, settled)
    return Invoiced(
        tuple(made),
        tuple(each for each in settled if each in existing),
        (*passed, *(each for each in settled if each not in existing)),
    )


def _lock_heads(db: Cursor[Any], customer_ids: Sequence[int]) -> list[_Head]:
    """The billing rows, locked in one order so that two chunks can't deadlock."""
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
        _Head(customer_id, closed, settled, number, sha256, currency, BilledCustomer(*copied))
        for customer_id, closed, settled, number, sha256, currency, *copied in db
    ]


def _issuer(db: Cursor[Any]) -> Issuer:
    db.execute("SELECT name, address, email, payment_instructions FROM issuer")
    row = db.fetchone()
    assert row is not None, "the migration makes the issuer's row and nobody may delete it"
    return Issuer(*row)


def _make(
    session: Session, head: _Head, period_start: date, issuer: Issuer, lines: tuple[Line, ...]
) -> MadeInvoice:
    issued_at = now(session)
    content = InvoiceContent(
        number=invoice_number(head.customer.key, head.last_number + 1),
        period_start=period_start,
        currency=head.currency,
        issued_at=issued_at,
        due_on=due_date(issued_at),
        issuer=issuer,
        customer=head.customer,
        lines=lines,
        total_minor=sum(line.amount_minor for line in lines),
        previous_sha256=head.last_sha256,
    )
    return MadeInvoice(head.customer_id, content, content_sha256(content))


def _write_invoices(
    session: Session, db: Cursor[Any], period_start: date, owing: Sequence[tuple[_Head, tuple[Line, ...]]]
) -> list[MadeInvoice]:
    """Makes and writes each invoice; the next is made while the database takes in the one before."""
    made = []
    issuer = _issuer(db)
    with db.copy(
        "COPY invoice (customer_id, period_start, sequence, number, currency, issued_at, due_on,"
        " total_minor, line_count, issuer_name, issuer_address, issuer_email,"
        " issuer_payment_instructions, customer_key, customer_name, customer_email,"
        " customer_billing_address, previous_sha256, content_sha256) FROM STDIN"
    ) as copy:
        for head, lines in owing:
            invoice = _make(session, head, period_start, issuer, lines)
            made.append(invoice)
            content = invoice.content
            copy.write_row(
                (head.customer_id, period_start, head.last_number + 1, content.number, content.currency,
                 content.issued_at, content.due_on, content.total_minor, len(lines),
                 *content.issuer, *content.customer, content.previous_sha256, invoice.sha256)
            )  # fmt: skip
    return made


def _write_lines(db: Cursor[Any], period_start: date, made: Sequence[MadeInvoice]) -> None:
    """All lines of the invoices by one statement, as the trigger on lines demands."""
    with db.copy(
        "COPY invoice_line (customer_id, period_start, line_number, currency_exponent, kind,"
        " description, usage_period, plan_name, plan_version, quantity, quantity_before,"
        " quantity_after, included_quantity, overage_quantity, unit_price, exact_amount,"
        " rated_minor, exact_amount_before, already_charged_minor, amount_minor) FROM STDIN"
    ) as copy:
        for customer_id, content, _ in made:
            digits = exponent(content.currency)
            for line_number, line in enumerate(content.lines, 1):
                copy.write_row((customer_id, period_start, line_number, digits, *line))


def _settle(db: Cursor[Any], period_start: date, made: Sequence[MadeInvoice], passed: Sequence[int]) -> None:
    """Moves the marks, and the heads of the chains where an invoice was made."""
    db.execute(
        """
        UPDATE customer_billing b
        SET settled_through = i.period_start, last_number = i.sequence, last_sha256 = i.content_sha256
        FROM invoice i
        WHERE b.customer_id = ANY(%(ids)s) AND i.customer_id = b.customer_id
          AND i.customer_id = ANY(%(ids)s) AND i.period_start = %(period)s
        """,
        {"period": period_start, "ids": [each.customer_id for each in made]},
    )
    db.execute(
        "UPDATE customer_billing SET settled_through = %s WHERE customer_id = ANY(%s)",
        [period_start, list(passed)],
    )


def _with_invoice(db: Cursor[Any], period_start: date, customer_ids: Sequence[int]) -> Mapping[int, str]:
    """The number of each customer's invoice for the period, where there is one."""
    db.execute(
        "SELECT customer_id, number FROM invoice WHERE period_start = %s AND customer_id = ANY(%s)",
        [period_start, list(customer_ids)],
    )
    return dict(db.fetchall())
