"""Money received for invoices; a mistake is undone by one reversal."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Response
from pydantic import BaseModel, Field, WithJsonSchema

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Body, Currency, Date, ExactNumber, Money, Timestamp
from billing_app.domain.money import major_text
from billing_app.services.payments import payments
from billing_app.services.payments.payments import PaymentRow
from billing_app.services.shared.ids import get_number

router = resource("/invoices/{number}/payments", "Invoices")

# As it came: the service reads it, and refuses it with the field's own rule.
Key = Annotated[
    Any,
    WithJsonSchema(
        {"type": "string", "minLength": 1, "maxLength": 255, "examples": ["bank-2026-11-03-000123"]}
        | {"description": "The sender's own name of the payment: sent again with it, it counts once."}
    ),
]


class Payment(BaseModel):
    """Money received. Once reversed it counts no more; who undid it, when and why is told with it."""

    id: str = Field(examples=["pay_7"])
    invoice: str = Field(examples=["ACME-0001"], description="The invoice's number.")
    amount: Money
    currency: Currency
    received_on: Date
    method: str = Field(examples=["bank transfer"])
    reference: str
    recorded_at: Timestamp
    recorded_by: str = Field(examples=["usr_2"])
    reversed_at: Timestamp | None
    reversed_by: str | None
    reversal_reason: str | None


class NewPayment(Body):
    """Money that was received, in the invoice's currency."""

    amount: ExactNumber = Field(examples=["29.00"], description="In major units, above zero.")
    received_on: Date = Field(description="Not ahead of today, in UTC.")
    method: str = Field("", examples=["bank transfer"])
    reference: str = ""
    idempotency_key: Key


class Reversal(Body):
    """Why a payment is undone."""

    reason: str = Field(examples=["The transfer bounced."])


@router.get("", responses=refusals("invoice_not_found"))
def list_payments(call: Caller, paged: Paged, number: str) -> Page[Payment]:
    """List an invoice's payments, the last recorded first, reversed ones too."""
    return page_of(call.do(payments.list_payments, number, **paged), payment_of)


@router.post(
    "",
    status_code=201,
    responses={
        200: {"model": Payment, "description": "Recorded before with the same key; the first stands."},
        **refusals("invoice_not_found", "overpayment", "idempotency_conflict"),
    },
)
def record_payment(call: Caller, number: str, body: NewPayment, response: Response) -> Payment:
    """Record a payment.

    Never more than what is owed. Without an answer, send it again: it counts once.
    """
    done = call.do(
        payments.record_payment,
        number,
        amount=body.amount,
        received_on=body.received_on,
        idempotency_key=body.idempotency_key,
        method=body.method,
        reference=body.reference,
    )
    response.status_code = 201 if done.created else 200
    return payment_of(done.payment)


@router.post(
    "/{payment}/reversal",
    status_code=201,
    responses=refusals("invoice_not_found", "payment_not_found", "already_reversed"),
)
def reverse_payment(call: Caller, number: str, payment: str, body: Reversal) -> Payment:
    """Reverse a payment: all of it, once, with a reason. The invoice is owed again."""
    payment_id = get_number("pay", payment, "payment")
    return payment_of(call.do(payments.reverse_payment, number, payment_id, reason=body.reason))


def payment_of(row: PaymentRow) -> Payment:
    """The payment as it goes out."""
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
    )
