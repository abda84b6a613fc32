"""Use cases of a customer's credit: what invoices with a total below zero leave to be applied or refunded.

Triggers keep the sum in the billing row, and its CHECK refuses to take more than there is.
"""

from __future__ import annotations

from decimal import Decimal

from sqlalchemy import exists
from sqlmodel import Session, col, select

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.money import Amount, major_text
from billing_app.errors import Conflict
from billing_app.models import CustomerBilling, Payment
from billing_app.services.adjustments.queries import read_credit
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.payments.queries import (
    get_billed_invoice,
    get_payment,
    lock_billing,
    read_balance,
)
from billing_app.services.payments.rows import PaymentRow
from billing_app.services.shared import audit
from billing_app.services.shared.permissions import require


def get_credit(session: Session, actor: Actor, customer: str) -> Amount:
    """Return the credit of a customer. Raises NotFound (`customer_not_found`)."""
    require(actor, Permission.READ)
    return read_credit(session, get_customer_id(session, customer))


def apply_credit(session: Session, actor: Actor, number: str) -> PaymentRow:
    """Pay an invoice from the customer's credit, up to its balance.

    Raises:
        NotFound: `invoice_not_found`.
        Conflict: `nothing_to_apply` if there is no credit or nothing to pay.
    """
    require(actor, Permission.INVOICE)
    invoice = get_billed_invoice(session, number)
    lock_billing(session, invoice.customer_id)
    credit = read_credit(session, invoice.customer_id)
    amount_minor = min(credit.amount_minor, read_balance(session, invoice))
    if amount_minor <= 0:
        raise Conflict("nothing_to_apply", number=invoice.number)
    moment = now(session)
    payment = Payment(
        customer_id=invoice.customer_id,
        period_start=invoice.period_start,
        amount_minor=Decimal(amount_minor),
        received_on=moment.date(),
        recorded_at=moment,
        recorded_by=actor.id,
        source="credit",
    )
    session.add(payment)
    session.flush()
    row = get_payment(session, invoice, payment.payment_id)
    audit.record(
        session, actor, "credit.applied", invoice.number,
        payment=row.public_id, amount=major_text(amount_minor, invoice.currency), currency=invoice.currency,
    )  # fmt: skip
    return row


def has_any_credit(session: Session, actor: Actor) -> bool:
    """Return whether any customer has credit."""
    require(actor, Permission.READ)
    return bool(session.scalar(select(exists().where(col(CustomerBilling.credit_minor) > 0))))
