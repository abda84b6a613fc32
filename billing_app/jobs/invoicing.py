"""Generate one customer's invoice for one month: close the month, then sum it, in two transactions."""

from __future__ import annotations

from datetime import date

from sqlmodel import Session

from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.periods import label
from billing_app.errors import Conflict
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.invoices.closing import close_period
from billing_app.services.invoices.generation import invoice_period
from billing_app.services.invoices.invoices import get_invoice
from billing_app.services.invoices.preconditions import require_issuer
from billing_app.services.invoices.queries import find_invoice_number, has_charges
from billing_app.services.invoices.rows import InvoiceDetail
from billing_app.services.shared import audit
from billing_app.services.shared.permissions import require


def generate_invoice(database: Database, actor: Actor, customer: str, period_start: date) -> InvoiceDetail:
    """Create the customer's one invoice for a month that has ended.

    If the process is killed between the two transactions, the month stays closed. Calling this again creates
    the invoice.

    Raises:
        Conflict: `invoice_exists` (with its number), `period_open`, `earlier_period_open` (with the period),
            `nothing_to_invoice`, `issuer_incomplete`.
        NotFound: `customer_not_found`.
    """
    require(actor, Permission.INVOICE)
    customer_id = database.call(actor, close_to_invoice, customer, period_start)
    return database.call(actor, create_invoice, customer, customer_id, period_start)


def close_to_invoice(session: Session, actor: Actor, customer: str, period_start: date) -> int:
    """Close the month and return the customer's id. Errors roll the closing back.

    The first of the two transactions of `generate_invoice`, which raises what it raises.
    """
    require(actor, Permission.INVOICE)
    customer_id = get_customer_id(session, customer)
    require_issuer(session)
    for blocked in close_period(session, actor, period_start=period_start, customer_ids=[customer_id]):
        raise blocked.as_conflict()
    if number := find_invoice_number(session, customer_id, period_start):
        raise Conflict("invoice_exists", period=period_start, number=number)
    if not has_charges(session, customer_id, period_start):
        raise Conflict("nothing_to_invoice", customer=customer, period=period_start)
    return customer_id


def create_invoice(
    session: Session, actor: Actor, customer: str, customer_id: int, period_start: date
) -> InvoiceDetail:
    """Create the one invoice of a closed month. The second transaction of `generate_invoice`."""
    require(actor, Permission.INVOICE)
    outcome = invoice_period(session, actor, period_start=period_start, customer_ids=[customer_id])
    if outcome.existing:
        number = find_invoice_number(session, customer_id, period_start)
        raise Conflict("invoice_exists", period=period_start, number=number)
    if not outcome.created:
        raise Conflict("nothing_to_invoice", customer=customer, period=period_start)
    number = outcome.created[0].content.number
    audit.record(session, actor, "invoice.created", number, period=label(period_start))
    return get_invoice(session, actor, number)
