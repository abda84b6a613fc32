"""Use cases of a customer's credit: what invoices with a total below zero leave to be applied or refunded.

Triggers keep the sum in the billing row, and its CHECK refuses to take more than there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from psycopg import Cursor
from sqlmodel import Session

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.money import Amount, major_text
from billing_app.errors import Conflict
from billing_app.models import Customer, CustomerBilling, Payment
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

# What there is, up to the total of each invoice. The caller has locked the billing rows.
_APPLY = """
    INSERT INTO payment (customer_id, period_start, amount_minor, received_on, method, reference,
                         recorded_at, recorded_by, source)
    SELECT i.customer_id, i.period_start, least(b.credit_minor, i.total_minor), %(today)s, '', '',
           %(now)s, %(recorded_by)s, 'credit'
    FROM customer_billing b
    JOIN invoice i ON i.customer_id = b.customer_id AND i.period_start = %(period)s
    WHERE b.customer_id = ANY(%(ids)s) AND b.credit_minor > 0 AND i.total_minor > 0
    ORDER BY i.customer_id
"""


def apply_credit_to_new_invoices(
    db: Cursor[Any],
    *,
    period_start: date,
    customer_ids: Sequence[int],
    recorded_at: datetime,
    recorded_by: str,
) -> None:
    """Pay the invoices that were just created from their customers' credit, as far as it goes.

    Part of creating them, which has checked the permission.
    """
    db.execute(
        _APPLY,
        {
            "period": period_start,
            "ids": list(customer_ids),
            "today": recorded_at.date(),
            "now": recorded_at,
            "recorded_by": recorded_by,
        },
    )


def get_credit(session: Session, actor: Actor, customer: str) -> Amount:
    """Return the credit of a customer. Raises NotFound (`customer_not_found`)."""
    require(actor, Permission.READ)
    return read_credit(session, get_customer_id(session, customer))


def read_credit(session: Session, customer_id: int) -> Amount:
    """Return the credit of a customer. Lock the billing row first if it must not change."""
    billing = session.get_one(CustomerBilling, customer_id, populate_existing=True)
    return Amount(int(billing.credit_minor), session.get_one(Customer, customer_id).currency)


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
