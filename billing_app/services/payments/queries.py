"""Payments as they are shown, and the invoices that they are for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import text
from sqlmodel import Session, and_, col, select
from sqlmodel.sql.expression import Select

from billing_app.domain.invoice import split_invoice_number
from billing_app.errors import NotFound
from billing_app.models import Payment, PaymentReversal
from billing_app.services.shared.ids import public_id


@dataclass(frozen=True, slots=True)
class PaymentRow:
    """A payment, and its reversal when it was undone."""

    payment_id: int
    invoice_number: str
    amount_minor: int
    currency: str
    received_on: date
    method: str
    reference: str
    recorded_at: datetime
    recorded_by: str
    reversed_at: datetime | None
    reversed_by: str | None
    reversal_reason: str | None

    @property
    def public_id(self) -> str:
        """`pay_7`."""
        return public_id("pay", self.payment_id)


# What counts as paid, said here only: the payments that were not reversed.
STANDING_PAYMENTS = """(
    SELECT p.customer_id, p.period_start, p.amount_minor FROM payment p
    WHERE NOT EXISTS (SELECT FROM payment_reversal r
                      WHERE r.customer_id = p.customer_id AND r.payment_id = p.payment_id)
)"""
# Beside each row of `invoice i`: `paid.paid_minor`.
JOIN_PAID = f"""
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount_minor), 0) AS paid_minor FROM {STANDING_PAYMENTS} standing
        WHERE standing.customer_id = i.customer_id AND standing.period_start = i.period_start
    ) paid
"""
# Beside each row of `invoice i`: its row of `open_invoice o`, none when it is paid in full. To find
# invoices by; what is shown as paid is summed.
JOIN_OPEN = """
    LEFT JOIN open_invoice o ON o.customer_id = i.customer_id AND o.period_start = i.period_start
"""


class BilledInvoice(NamedTuple):
    """What a payment needs to know of its invoice."""

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
    """The invoice of the number, without case; raises NotFound (`invoice_not_found`)."""
    well_formed = isinstance(number, str) and number.isascii() and number.isprintable()
    parts = split_invoice_number(str(number)) if well_formed else None
    found = parts and session.execute(_INVOICE, {"key": parts[0], "sequence": parts[1]}).one_or_none()
    if not found:
        raise NotFound("invoice_not_found", named=number)
    return BilledInvoice(*found)


def rows_of(invoice: BilledInvoice) -> Select[Payment, PaymentReversal]:
    """The invoice's payments with their reversals (None without), the last recorded first."""
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


def get_row(session: Session, invoice: BilledInvoice, payment_id: int | None) -> PaymentRow:
    """One payment of the invoice; raises NotFound (`payment_not_found`)."""
    found = session.exec(rows_of(invoice).where(Payment.payment_id == payment_id)).one_or_none()
    if found is None:
        raise NotFound("payment_not_found", number=invoice.number, named=payment_id)
    return as_row(invoice, *found)


def as_row(invoice: BilledInvoice, payment: Payment, reversal: PaymentReversal | None) -> PaymentRow:
    """The payment as it is shown."""
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
    )
