"""One customer's invoice for one month: close, then sum, in two transactions."""

from __future__ import annotations

from datetime import date

from sqlmodel import Session

from billing_app.database.session import Database
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.periods import label
from billing_app.errors import Conflict
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.invoices.closing import close_period, is_due
from billing_app.services.invoices.generation import Invoiced, invoice_period
from billing_app.services.invoices.invoices import InvoiceDetail, find_invoice_of, get_invoice
from billing_app.services.shared import audit
from billing_app.services.shared.permissions import require


def generate_invoice(database: Database, actor: Actor, customer: str, period_start: date) -> InvoiceDetail:
    """Makes the customer's one invoice for a month that has ended.

    Killed between its two transactions, the month is closed and calling again makes the invoice.
    Raises Conflict: `invoice_exists` (naming it), `period_open`, `earlier_period_open` (naming
    it), `nothing_to_invoice`; NotFound: `customer_not_found`.
    """

    def close(session: Session) -> int:
        customer_id = get_customer_id(session, customer)
        for blocked in close_period(session, actor, period_start=period_start, customer_ids=[customer_id]):
            raise blocked.as_conflict()
        _require_due(session, customer, customer_id, period_start)
        return customer_id

    def invoice(session: Session) -> InvoiceDetail:
        done = invoice_period(session, actor, period_start=period_start, customer_ids=[customer_id])
        return _answer(session, actor, customer, done, period_start)

    require(actor, Permission.INVOICE)
    customer_id = database.run(actor, close)
    return database.run(actor, invoice)


def _require_due(session: Session, customer: str, customer_id: int, period_start: date) -> None:
    """Within the closing transaction: undoes it when there is nothing to close for."""
    if number := find_invoice_of(session, customer_id, period_start):
        raise _exists(number, period_start)
    if not is_due(session, customer_id, period_start):
        raise _nothing(customer, period_start)


def _answer(
    session: Session, actor: Actor, customer: str, done: Invoiced, period_start: date
) -> InvoiceDetail:
    for customer_id in done.existing:
        raise _exists(find_invoice_of(session, customer_id, period_start) or "", period_start)
    if not done.made:
        raise _nothing(customer, period_start)
    number = done.made[0].content.number
    audit.record(session, actor, "invoice.created", number, period=label(period_start))
    return get_invoice(session, actor, number)


def _exists(number: str, period_start: date) -> Conflict:
    return Conflict("invoice_exists", period=period_start, number=number)


def _nothing(customer: str, period_start: date) -> Conflict:
    return Conflict("nothing_to_invoice", customer=customer, period=period_start)
