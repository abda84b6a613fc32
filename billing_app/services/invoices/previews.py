"""Preview a customer's upcoming invoice: the same code computes the lines, but nothing is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from sqlmodel import Session

from billing_app.database.session import driver_cursor, now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.lines import Line
from billing_app.domain.periods import period_of
from billing_app.errors import Conflict
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.customers.selection import read_customer
from billing_app.services.invoices.charges import compute_lines
from billing_app.services.invoices.queries import find_invoice_number
from billing_app.services.shared.permissions import require


@dataclass(frozen=True, slots=True)
class InvoicePreview:
    """The upcoming invoice as it would be at `as_of`."""

    customer_public_id: str
    customer_key: str
    customer_name: str
    period_start: date
    currency: str
    lines: tuple[Line, ...]
    total_minor: int
    as_of: datetime


def preview_invoice(
    session: Session, actor: Actor, customer: str, period_start: date | None = None
) -> InvoicePreview:
    """Compute the lines of the customer's invoice for the period as of now.

    The default is the current period. Earlier periods need not be invoiced yet.

    Raises:
        NotFound: `customer_not_found`.
        Conflict: `invoice_exists`, naming the invoice.
    """
    require(actor, Permission.READ)
    period_start = period_start or period_of(now(session))
    customer_id = get_customer_id(session, customer)
    if number := find_invoice_number(session, customer_id, period_start):
        raise Conflict("invoice_exists", period=period_start, number=number)
    row = read_customer(session, customer_id)
    with driver_cursor(session) as db:
        lines = compute_lines(db, period_start, [customer_id])[customer_id]
    return InvoicePreview(
        customer_public_id=row.public_id,
        customer_key=row.key,
        customer_name=row.name,
        period_start=period_start,
        currency=row.currency,
        lines=lines,
        total_minor=sum(line.amount_minor for line in lines),
        as_of=now(session),
    )
