"""Queries about payments. Unguarded: callers have checked their permission."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session, and_, col, select
from sqlmodel.sql.expression import Select

from billing_app.domain.invoice import split_invoice_number
from billing_app.errors import NotFound
from billing_app.models import CustomerBilling, Payment, PaymentReversal
from billing_app.services.payments.rows import PaymentRow

# The paid amount is the sum of payments that are not reversed. The rule is defined only here.
STANDING_PAYMENTS = """(
    SELECT p.customer_id, p.period_start, p.amount_minor, p.source FROM payment p
    WHERE NOT EXISTS (SELECT FROM payment_reversal r
                      WHERE r.customer_id = p.customer_id AND r.payment_id = p.payment_id)
)"""
# Adds `paid.paid_minor` to each row of `invoice i`.
JOIN_PAID = f"""
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount_minor), 0) AS paid_minor FROM {STANDING_PAYMENTS} standing
        WHERE standing.customer_id = i.customer_id AND standing.period_start = i.period_start
    ) paid
"""
BALANCE = "greatest(i.total_minor - paid.paid_minor, 0)"
"""What is left to pay of `invoice i`, with JOIN_PAID. It is nothing for a total below zero."""
# Adds `open_invoice o` to each row of `invoice i`, null once the invoice is paid in full. Use it only to find
# invoices. To show an amount, use JOIN_PAID.
JOIN_OPEN = """
    LEFT JOIN open_invoice o ON o.customer_id = i.customer_id AND o.period_start = i.period_start
"""


PAID_FROM_CREDIT = f"""
    SELECT coalesce(sum(amount_minor), 0) FROM {STANDING_PAYMENTS} standing
    WHERE customer_id = %s AND period_start = %s AND source = 'credit'
"""
"""What was paid of one invoice from the customer's credit."""


class BilledInvoice(NamedTuple):
    """The facts about an invoice that recording a payment needs."""

    customer_id: int
    period_start: date
    number: str
    currency: str
    total_minor: Decimal


_INVOICE = text("""
    SELECT i.customer_id, i.period_start, i.number, i.currency, i.total_minor
      FROM customer c JOIN invoice i USING (customer_id)
     WHERE lower(c.key) = :key AND i.sequence = :sequence
""")


def get_billed_invoice(session: Session, number: object) -> BilledInvoice:
    """Return the invoice with this number, ignoring case.

    Raises:
        NotFound: `invoice_not_found`.
    """
    is_well_formed = isinstance(number, str) and number.isascii() and number.isprintable()
    parts = split_invoice_number(str(number)) if is_well_formed else None
    row = parts and session.execute(_INVOICE, {"key": parts[0], "sequence": parts[1]}).one_or_none()
    if not row:
        raise NotFound("invoice_not_found", named=number)
    return BilledInvoice(*row)


def lock_billing(session: Session, customer_id: int) -> None:
    """Serialize the customer's payments, reversals and new invoices until the transaction ends."""
    session.exec(
        select(CustomerBilling.customer_id)
        .where(CustomerBilling.customer_id == customer_id)
        .with_for_update(key_share=True)
    ).one()


_PAID = text(f"""
    SELECT sum(amount_minor) FROM {STANDING_PAYMENTS} standing
     WHERE customer_id = :customer_id AND period_start = :period
""")


def read_balance(session: Session, invoice: BilledInvoice) -> int:
    """Return the balance in minor units. Call `lock_billing` first, so that it can't change."""
    paid = session.scalar(_PAID, {"customer_id": invoice.customer_id, "period": invoice.period_start})
    return max(0, int(invoice.total_minor - (paid or 0)))


def select_payments(invoice: BilledInvoice) -> Select[Payment, PaymentReversal]:
    """Select the invoice's payments with their reversals (None without one), last recorded first."""
    return (
        select(Payment, PaymentReversal)
        .join(
            PaymentReversal,
            and_(
                col(PaymentReversal.customer_id) == col(Payment.customer_id),
                col(PaymentReversal.payment_id) == col(Payment.payment_id),
            ),
            isouter=True,
        )
        .where(Payment.customer_id == invoice.customer_id, Payment.period_start == invoice.period_start)
        .order_by(col(Payment.recorded_at).desc(), col(Payment.payment_id).desc())
    )


def get_payment(session: Session, invoice: BilledInvoice, payment_id: int | None) -> PaymentRow:
    """Return one payment of the invoice.

    Raises:
        NotFound: `payment_not_found`.
    """
    found = session.exec(select_payments(invoice).where(Payment.payment_id == payment_id)).one_or_none()
    if found is None:
        raise NotFound("payment_not_found", number=invoice.number, named=payment_id)
    return as_row(invoice, *found)


def as_row(invoice: BilledInvoice, payment: Payment, reversal: PaymentReversal | None) -> PaymentRow:
    """Build the row of a stored payment."""
    assert payment.payment_id is not None
    return PaymentRow(
        payment_id=payment.payment_id,
        invoice_number=invoice.number,
        amount_minor=int(payment.amount_minor),
        currency=invoice.currency,
        received_on=payment.received_on,
        method=payment.method,
        reference=payment.reference,
        recorded_at=payment.recorded_at,
        recorded_by=payment.recorded_by,
        reversed_at=reversal.recorded_at if reversal else None,
        reversed_by=reversal.recorded_by if reversal else None,
        reversal_reason=reversal.reason if reversal else None,
        is_credit=payment.source == "credit",
    )
