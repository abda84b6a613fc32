"""Record, list and reverse payments of an invoice."""

from __future__ import annotations

from typing import Literal

from fastapi import Response
from pydantic import BaseModel, Field

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.idempotency import Created, OnceOnly
from billing_app.api.wire.openapi import recorded_before, refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Body, Currency, Date, ExactNumber, Key, Money, Timestamp
from billing_app.domain.actor import Permission
from billing_app.domain.money import major_text
from billing_app.services.payments import payments
from billing_app.services.payments.rows import PaymentRow
from billing_app.services.shared.ids import get_number

router = resource("/invoices/{number}/payments", "Invoices")


class Payment(BaseModel):
    """A payment received for an invoice. A reversed payment no longer counts."""

    id: str = Field(examples=["pay_7"])
    invoice: str = Field(examples=["ACME-0001"], description="The invoice number.")
    amount: Money
    currency: Currency
    received_on: Date
    method: str = Field(examples=["bank transfer"])
    reference: str = Field(examples=["RF18 5390 0754 7034"])
    recorded_at: Timestamp
    recorded_by: str = Field(examples=["usr_2"])
    reversed_at: Timestamp | None
    reversed_by: str | None
    reversal_reason: str | None
    source: Literal["received", "credit"] = Field(
        description="`credit` was taken from the customer's credit instead of being received."
    )


class NewPayment(Body):
    """A payment in the invoice's currency."""

    amount: ExactNumber = Field(
        examples=["29.00"], description="In major units, above zero and at most the balance."
    )
    received_on: Date = Field(
        description="Your local date when you received it. It can't be later than today's date in UTC+14."
    )
    method: str = Field("", examples=["bank transfer"])
    reference: str = ""
    idempotency_key: Key


class Reversal(Body):
    """Why a payment or a refund is reversed."""

    reason: str = Field(examples=["The transfer bounced."])


@router.get("", responses=refusals("invoice_not_found"))
def list_payments(call: Caller, paged: Paged, number: str) -> Page[Payment]:
    """List an invoice's payments, including reversed ones, last recorded first."""
    return page_of(call.do(payments.list_payments, number, **paged), payment_of)


@router.post(
    "",
    status_code=201,
    responses={
        **recorded_before(Payment, "payment"),
        **refusals("invoice_not_found", "overpayment", "idempotency_conflict"),
    },
)
def record_payment(call: Caller, number: str, body: NewPayment, response: Response) -> Payment:
    """Record a payment of at most the balance.

    If you get no response, retry with the same idempotency key. The payment is recorded once.
    """
    recorded = call.do(
        payments.record_payment,
        number,
        amount=body.amount,
        received_on=body.received_on,
        idempotency_key=body.idempotency_key,
        method=body.method,
        reference=body.reference,
    )
    response.status_code = 201 if recorded.created else 200
    return payment_of(recorded.payment)


@router.post(
    "/{payment}/reversal",
    status_code=201,
    responses=refusals("invoice_not_found", "payment_not_found", "already_reversed", "idempotency_conflict"),
)
def reverse_payment(once: OnceOnly, number: str, payment: str, body: Reversal) -> Payment:
    """Reverse a whole payment, once.

    Its amount becomes outstanding again. Without an `Idempotency-Key`, a retry returns 409
    `already_reversed`.
    """
    return once.create(
        Permission.INVOICE,
        Payment,
        lambda reversed_payment: Created(payment_of(reversed_payment)),
        payments.reverse_payment,
        number,
        get_number("pay", payment, "payment"),
        reason=body.reason,
    )


def payment_of(row: PaymentRow) -> Payment:
    """Convert a payment."""
    return Payment(
        id=row.public_id,
        invoice=row.invoice_number,
        amount=major_text(row.amount_minor, row.currency),
        currency=row.currency,
        received_on=row.received_on,
        method=row.method,
        reference=row.reference,
        recorded_at=row.recorded_at,
        recorded_by=row.recorded_by,
        reversed_at=row.reversed_at,
        reversed_by=row.reversed_by,
        reversal_reason=row.reversal_reason,
        source="credit" if row.is_credit else "received",
    )
