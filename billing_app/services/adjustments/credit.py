"""Use cases of a customer's credit: what invoices with a total below zero leave to be applied or refunded.

Triggers keep the sum in the billing row, and its CHECK refuses to take more than there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from psycopg import Cursor
from sqlmodel import Session, select

from billing_app.database.session import driver_cursor, now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.money import Amount, major_text
from billing_app.errors import Conflict, NotFound
from billing_app.models import Customer, CustomerBilling
from billing_app.services.payments.queries import (
    get_billed_invoice,
    get_payment,
    lock_billing,
    read_balance,
)
from billing_app.services.payments.rows import PaymentRow
from billing_app.services.shared import audit
from billing_app.services.shared.permissions import require

# What there is, up to the total of each invoice. The billing rows are locked by the caller.
_APPLY = """
    INSERT INTO payment (customer_id, period_start, amount_minor, received_on, method, reference,
                         recorded_at, recorded_by, source)
    SELECT i.customer_id, i.period_start, least(b.credit_minor, i.total_minor), %(today)s, '', '',
           %(now)s, %(actor)s, 'credit'
    FROM customer_billing b
    JOIN invoice i ON i.customer_id = b.customer_id AND i.period_start = %(period)s
    WHERE b.customer_id = ANY(%(ids)s) AND b.credit_minor > 0 AND i.total_minor > 0
    ORDER BY i.customer_id
"""


def apply_credit_to_new_invoices(
    db: Cursor[Any], session: Session, actor: Actor, *, period_start: date, customer_ids: Sequence[int]
) -> None:
    """Pay the invoices that were just created from their customers' credit, as far as it goes."""
    moment = now(session)
    db.execute(
        _APPLY,
        {
            "period": period_start,
            "ids": list(customer_ids),
            "today": moment.date(),
            "now": moment,
            "actor": actor.id,
        },
    )


def get_credit(session: Session, actor: Actor, customer_id: int) -> Amount:
    """Return the credit of a customer. Raises NotFound (`customer_not_found`)."""
    require(actor, Permission.READ)
    found = session.exec(
        select(CustomerBilling.credit_minor, Customer.currency)
        .join(Customer)
        .where(CustomerBilling.customer_id == customer_id)
    ).one_or_none()
    if found is None:
        raise NotFound("customer_not_found")
    credit_minor, currency = found
    return Amount(int(credit_minor), currency)


def apply_credit(session: Session, actor: Actor, number: str) -> PaymentRow:
    """Pay an invoice from the customer's credit, up to its balance.

    Raises:
        NotFound: `invoice_not_found`.
        Conflict: `nothing_to_apply` if there is no credit or nothing to pay.
    """
    require(actor, Permission.INVOICE)
    invoice = get_billed_invoice(session, number)
    lock_billing(session, invoice.customer_id)
    credit = get_credit(session, actor, invoice.customer_id)
    amount_minor = min(credit.amount_minor, read_balance(session, invoice))
    if amount_minor <= 0:
        raise Conflict("nothing_to_apply", number=invoice.number, credit=credit)
    moment = now(session)
    with driver_cursor(session) as db:
        db.execute(
            "INSERT INTO payment (customer_id, period_start, amount_minor, received_on, method, reference,"
            " recorded_at, recorded_by, source) VALUES (%s, %s, %s, %s, '', '', %s, %s, 'credit')"
            " RETURNING payment_id",
            [invoice.customer_id, invoice.period_start, amount_minor, moment.date(), moment, actor.id],
        )
        (payment_id,) = db.fetchone() or (None,)
    row = get_payment(session, invoice, payment_id)
    audit.record(
        session, actor, "credit.applied", invoice.number,
        payment=row.public_id, amount=major_text(amount_minor, invoice.currency), currency=invoice.currency,
    )  # fmt: skip
    return row
