"""Queries about invoices. Unguarded: callers have checked their permission."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from psycopg import Cursor
from psycopg.rows import args_row
from sqlmodel import Session

from billing_app.database.session import driver_cursor
from billing_app.domain.invoice import (
    BilledCustomer,
    InvoiceContent,
    Issuer,
    NumberGap,
    payment_status,
    split_invoice_number,
)
from billing_app.domain.lines import Line
from billing_app.errors import NotFound
from billing_app.services.adjustments.queries import has_items_in
from billing_app.services.invoices.month_usage import find_periods_with_late_usage
from billing_app.services.invoices.rows import InvoiceRow
from billing_app.services.invoices.selection import InvoiceSelection
from billing_app.services.payments.queries import JOIN_OPEN, JOIN_PAID
from billing_app.services.plans.plan_in_effect import has_plan_in


class StoredInvoice(NamedTuple):
    """A row of `invoice`, as INVOICE_COLUMNS selects it."""

    customer_id: int
    period_start: date
    sequence: int
    number: str
    format: str
    currency: str
    issued_at: datetime
    due_on: date
    total_minor: Decimal
    line_count: int
    issuer_name: str
    issuer_address: str
    issuer_email: str
    issuer_payment_instructions: str
    customer_key: str
    customer_name: str
    customer_email: str
    customer_billing_address: str
    previous_sha256: str | None
    content_sha256: str

    @property
    def issuer(self) -> Issuer:
        """The copy of the issuer."""
        return Issuer(
            name=self.issuer_name,
            address=self.issuer_address,
            email=self.issuer_email,
            payment_instructions=self.issuer_payment_instructions,
        )

    @property
    def customer(self) -> BilledCustomer:
        """The copy of the customer."""
        return BilledCustomer(
            key=self.customer_key,
            name=self.customer_name,
            email=self.customer_email,
            billing_address=self.customer_billing_address,
        )

    def content(self, lines: tuple[Line, ...]) -> InvoiceContent:
        """Return what the invoice says, which its hash is computed from."""
        return InvoiceContent(
            number=self.number,
            period_start=self.period_start,
            currency=self.currency,
            issued_at=self.issued_at,
            due_on=self.due_on,
            issuer=self.issuer,
            customer=self.customer,
            lines=lines,
            total_minor=int(self.total_minor),
            previous_sha256=self.previous_sha256,
        )


INVOICE_COLUMNS = ", ".join(f"i.{column}" for column in StoredInvoice._fields)
LINE_COLUMNS = ", ".join(f"l.{column}" for column in Line._fields)


class PaidInvoice(NamedTuple):
    """A stored invoice and the sum of its payments, without reversed ones."""

    invoice: StoredInvoice
    paid_minor: Decimal

    @classmethod
    def from_columns(cls, *columns: Any) -> PaidInvoice:
        """Build a row of PAID_INVOICE_COLUMNS."""
        *invoice, paid_minor = columns
        return cls(StoredInvoice(*invoice), paid_minor)

    def as_row(self, today: date) -> InvoiceRow:
        """Return the invoice as a list shows it, with its status on this UTC date."""
        stored, paid_minor = self.invoice, int(self.paid_minor)
        total_minor = int(stored.total_minor)
        return InvoiceRow(
            customer_id=stored.customer_id,
            customer=stored.customer,
            number=stored.number,
            period_start=stored.period_start,
            currency=stored.currency,
            total_minor=total_minor,
            paid_minor=paid_minor,
            payment_status=payment_status(total_minor, paid_minor, stored.due_on, today),
            issued_at=stored.issued_at,
            due_on=stored.due_on,
            content_sha256=stored.content_sha256,
        )


PAID_INVOICE_COLUMNS = f"{INVOICE_COLUMNS}, paid.paid_minor"
paid_invoice = args_row(PaidInvoice.from_columns)
"""The row factory for PAID_INVOICE_COLUMNS."""


class InvoiceQuery(NamedTuple):
    """A query for PAID_INVOICE_COLUMNS, and its parameters."""

    sql: str
    parameters: dict[str, object]


def list_query(
    selection: InvoiceSelection, *, oldest_first: bool = False, after: tuple[object, ...] | None = None
) -> InvoiceQuery:
    """Return the query for a list ordered by period and customer id.

    `after` is the period and the customer id of the last row of the previous page.
    """
    condition, parameters = selection.condition, dict(selection.parameters)
    direction, beyond = ("ASC", ">") if oldest_first else ("DESC", "<")
    if after:
        condition += f" AND (i.period_start, i.customer_id) {beyond} (%(after_period)s, %(after_id)s)"
        parameters["after_period"], parameters["after_id"] = after
    return InvoiceQuery(
        f"SELECT {PAID_INVOICE_COLUMNS} FROM invoice i {JOIN_OPEN} {JOIN_PAID} WHERE {condition}"
        f" ORDER BY i.period_start {direction}, i.customer_id {direction}",
        parameters,
    )


def read_lines(db: Cursor[Any], customer_id: int, period_start: date) -> tuple[Line, ...]:
    """Return the stored lines of one invoice, in order."""
    db.execute(
        f"SELECT {LINE_COLUMNS} FROM invoice_line l"
        " WHERE l.customer_id = %s AND l.period_start = %s ORDER BY l.line_number",
        [customer_id, period_start],
    )
    return tuple(line_of(columns) for columns in db)


def line_of(columns: tuple[Any, ...]) -> Line:
    """Return a stored line from its LINE_COLUMNS, with minor units as integers."""
    values = list(columns)
    for place in _WHOLE_NUMBERS:
        if values[place] is not None:
            values[place] = int(values[place])
    return Line._make(values)


# The places in a line of numbers that the database returns as decimals.
_WHOLE_NUMBERS = tuple(
    place
    for place, name in enumerate(Line._fields)
    if "_minor" in name or name in ("packages", "packages_before")
)


def find_invoice_number(session: Session, customer_id: int, period_start: date) -> str | None:
    """Return the number of the customer's invoice for the period, or None."""
    with driver_cursor(session) as db:
        db.execute(
            "SELECT number FROM invoice WHERE customer_id = %s AND period_start = %s",
            [customer_id, period_start],
        )
        row = db.fetchone()
    return row[0] if row else None


class InvoiceKey(NamedTuple):
    """The primary key of the invoice that a number belongs to."""

    customer_id: int
    sequence: int


def find_gap(db: Cursor[Any], customer_id: int, *, last_sequence: int) -> NumberGap | None:
    """Return the customer's stated gap in invoice numbers that ends with this number, or None."""
    db.execute(
        """
        SELECT c.key, g.first_sequence, g.last_sequence, g.backup_of, g.recorded_at, g.previous_sha256
        FROM number_gap g JOIN customer c USING (customer_id)
        WHERE g.customer_id = %s AND g.last_sequence = %s
        """,
        [customer_id, last_sequence],
    )
    row = db.fetchone()
    return NumberGap(*row) if row else None


def locate_invoice(db: Cursor[Any], number: str) -> InvoiceKey:
    """Return the customer and the sequence in an invoice number.

    Does not check whether the customer has an invoice with this sequence.

    Raises:
        NotFound: `invoice_not_found` if the number is malformed or there is no such customer.
    """
    parts = split_invoice_number(number)
    # Keys are ASCII, and the database can't store a null character.
    if parts and number.isascii() and "\0" not in number:
        db.execute("SELECT customer_id FROM customer WHERE lower(key) = %s", [parts[0]])
        if row := db.fetchone():
            return InvoiceKey(row[0], parts[1])
    raise NotFound("invoice_not_found", named=number)


def has_charges(session: Session, customer_id: int, period_start: date) -> bool:
    """Return whether there is something to invoice: a plan, late usage or a one-off item in the period.

    Without a plan, the usage of the period itself has quantity zero, and has no line.
    """
    with driver_cursor(session) as db:
        db.execute(
            f"SELECT {has_plan_in('%(id)s', '%(period)s::date')}"
            f" OR {has_items_in('%(id)s', '%(period)s::date')}",
            {"id": customer_id, "period": period_start},
        )
        (found,) = db.fetchone() or (False,)
        return found or bool(find_periods_with_late_usage(db, [(customer_id, period_start)]))
