"""Show a customer's credit, apply it to an older invoice, and refund it."""

from __future__ import annotations

from fastapi import Response
from pydantic import BaseModel, Field

from billing_app.api.payments import Payment, Reversal, payment_of
from billing_app.api.wire.calls import Caller
from billing_app.api.wire.idempotency import Created, OnceOnly
from billing_app.api.wire.openapi import recorded_before, refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Body, Currency, Date, ExactNumber, Key, Money, Timestamp
from billing_app.domain.actor import Permission
from billing_app.domain.money import major_text
from billing_app.services.adjustments import credit, refunds
from billing_app.services.adjustments.rows import RefundRow
from billing_app.services.shared.ids import get_number

router = resource("", "Credit")


class Credit(BaseModel):
    """What a customer's invoices with a total below zero leave, less what was applied or refunded."""

    credit: Money
    currency: Currency


class Refund(BaseModel):
    """Credit that was paid back. A reversed refund no longer counts."""

    id: str = Field(examples=["ref_3"])
    amount: Money
    currency: Currency
    refunded_on: Date
    reference: str = Field(examples=["RF18 5390 0754 7034"])
    recorded_at: Timestamp
    recorded_by: str = Field(examples=["usr_2"])
    reversed_at: Timestamp | None
    reversed_by: str | None
    reversal_reason: str | None


class NewRefund(Body):
    """A refund of at most the credit."""

    amount: ExactNumber = Field(examples=["4.98"], description="In major units, above zero.")
    refunded_on: Date = Field(description="It can't be later than today's date in UTC+14.")
    reference: str = ""
    idempotency_key: Key


@router.get("/customers/{customer}/credit", responses=refusals("customer_not_found"))
def get_credit(call: Caller, customer: str) -> Credit:
    """Get a customer's credit."""
    found = call.do(credit.get_credit, customer)
    return Credit(credit=major_text(*found), currency=found.currency)


@router.post(
    "/invoices/{number}/credit",
    status_code=201,
    responses=refusals("invoice_not_found", "nothing_to_apply", "idempotency_conflict"),
)
def apply_credit(once: OnceOnly, number: str) -> Payment:
    """Pay an invoice from the customer's credit, up to its balance.

    New invoices are paid from the credit by themselves.
    """
    return once.create(
        Permission.INVOICE, Payment, lambda row: Created(payment_of(row)), credit.apply_credit, number
    )


@router.get("/customers/{customer}/refunds", responses=refusals("customer_not_found"))
def list_refunds(call: Caller, paged: Paged, customer: str) -> Page[Refund]:
    """List a customer's refunds, including reversed ones, last recorded first."""
    return page_of(call.do(refunds.list_refunds, customer, **paged), refund_of)


@router.post(
    "/customers/{customer}/refunds",
    status_code=201,
    responses={
        **recorded_before(Refund, "refund"),
        **refusals("customer_not_found", "insufficient_credit", "idempotency_conflict"),
    },
)
def record_refund(call: Caller, customer: str, body: NewRefund, response: Response) -> Refund:
    """Record that credit was paid back.

    If you get no response, retry with the same idempotency key. The refund is recorded once.
    """
    row = call.do(
        refunds.record_refund,
        customer,
        amount=body.amount,
        refunded_on=body.refunded_on,
        reference=body.reference,
        idempotency_key=body.idempotency_key,
    )
    response.status_code = 201 if row.is_new else 200
    return refund_of(row)


@router.post(
    "/customers/{customer}/refunds/{refund}/reversal",
    status_code=201,
    responses=refusals("customer_not_found", "refund_not_found", "refund_reversed", "idempotency_conflict"),
)
def reverse_refund(once: OnceOnly, customer: str, refund: str, body: Reversal) -> Refund:
    """Reverse a whole refund, once. Its amount is credit again.

    Without an `Idempotency-Key`, a retry returns 409 `refund_reversed`.
    """
    return once.create(
        Permission.INVOICE,
        Refund,
        lambda row: Created(refund_of(row)),
        refunds.reverse_refund,
        customer,
        get_number("ref", refund, "refund"),
        reason=body.reason,
    )


def refund_of(row: RefundRow) -> Refund:
    """Build the refund to return."""
    return Refund(
        id=row.public_id,
        amount=major_text(row.amount_minor, row.currency),
        currency=row.currency,
        refunded_on=row.refunded_on,
        reference=row.reference,
        recorded_at=row.recorded_at,
        recorded_by=row.recorded_by,
        reversed_at=row.reversed_at,
        reversed_by=row.reversed_by,
        reversal_reason=row.reversal_reason,
    )
