"""Money received against invoices: added, never changed; a mistake is undone by one reversal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import text
from sqlmodel import Session, col, select, tuple_

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.money import Amount, major_text, parse_amount_minor
from billing_app.errors import Conflict, Invalid
from billing_app.models import CustomerBilling, Payment, PaymentReversal
from billing_app.services.payments.queries import (
    STANDING_PAYMENTS,
    BilledInvoice,
    PaymentRow,
    as_row,
    get_billed_invoice,
    get_row,
    rows_of,
)
from billing_app.services.shared import audit, validation
from billing_app.services.shared.ids import public_id
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require

__all__ = ["PaymentRow", "Recorded", "list_payments", "record_payment", "reverse_payment"]


@dataclass(frozen=True, slots=True)
class Recorded:
    """The payment, and whether it was recorded now or was there before."""

    payment: PaymentRow
    created: bool


def record_payment(
    session: Session,
    actor: Actor,
    number: str,
    *,
    amount: object,
    received_on: date,
    idempotency_key: str,
    method: str = "",
    reference: str = "",
    balance: object = None,
) -> Recorded:
    """Records money once for a key, and never more than is owed, however many try at once.

    `amount` is in major units. The same key with the same content answers the first payment, with
    another one Conflict `idempotency_conflict`. With `balance`, what the caller saw to be owed, it is
    Conflict `stale` when that is no longer so. Raises also Conflict `overpayment` with the
    balance, Invalid (not above zero, dated ahead), NotFound `invoice_not_found`.
    """
    require(actor, Permission.INVOICE)
    invoice = get_billed_invoice(session, number)
    payment = Payment(
        customer_id=invoice.customer_id,
        period_start=invoice.period_start,
        amount_minor=Decimal(validation.parsed("amount", parse_amount_minor, amount, invoice.currency)),
        received_on=validation.day("received_on", received_on),
        method=validation.line("method", method, at_most=validation.REFERENCE_MAX, required=False),
        reference=validation.line("reference", reference, at_most=validation.REFERENCE_MAX, required=False),
        idempotency_key=validation.parsed(
            "idempotency_key", validation.parse_idempotency_key, idempotency_key
        ),
        recorded_at=now(session),
        recorded_by=actor.id,
    )
    _lock_billing(session, invoice.customer_id)
    before = _find_same_key(session, payment)
    if before is not None:
        return Recorded(get_row(session, invoice, before), created=False)
    _refuse_unsound(session, invoice, payment, balance)
    session.add(payment)
    session.flush()
    row = get_row(session, invoice, payment.payment_id)
    audit.record(
        session, actor, "payment.recorded", invoice.number,
        payment=row.public_id, amount=major_text(row.amount_minor, row.currency), currency=row.currency,
        received_on=row.received_on.isoformat(),
    )  # fmt: skip
    return Recorded(row, created=True)


def _lock_billing(session: Session, customer_id: int) -> None:
    """Payments, reversals and numbers of a customer are given one after the other from here."""
    session.exec(
        select(CustomerBilling.customer_id)
        .where(CustomerBilling.customer_id == customer_id)
        .with_for_update(key_share=True)
    ).one()


def _find_same_key(session: Session, payment: Payment) -> int | None:
    """The id of the payment recorded with this key; raises Conflict when it says something else."""
    before = session.exec(
        select(Payment).where(
            Payment.customer_id == payment.customer_id, Payment.idempotency_key == payment.idempotency_key
        )
    ).one_or_none()
    if before is None:
        return None
    content = {"period_start", "amount_minor", "received_on", "method", "reference"}
    if before.model_dump(include=content) != payment.model_dump(include=content):
        raise Conflict(
            "idempotency_conflict",
            payment=public_id("pay", before.payment_id or 0),
        )
    return before.payment_id


def _refuse_unsound(session: Session, invoice: BilledInvoice, payment: Payment, seen: object) -> None:
    if payment.amount_minor <= 0:
        raise Invalid("amount", "not_positive")
    if payment.received_on > now(session).date():
        raise Invalid("received_on", "in_the_future")
    paid = session.scalar(_PAID, {"customer_id": invoice.customer_id, "period": invoice.period_start})
    balance = int(invoice.total_minor - (paid or 0))
    owed = major_text(balance, invoice.currency)
    if (
        seen is not None
        and validation.parsed("balance", parse_amount_minor, seen, invoice.currency) != balance
    ):
        raise Conflict(
            "stale",
            balance=Amount(balance, invoice.currency),
            currency=invoice.currency,
            version=owed,
            newer={"amount": owed},
        )
    if payment.amount_minor > balance:
        raise Conflict(
            "overpayment",
            number=invoice.number,
            balance=Amount(balance, invoice.currency),
            currency=invoice.currency,
        )


_PAID = text(f"""
    SELECT sum(amount_minor) FROM {STANDING_PAYMENTS} standing
     WHERE customer_id = :customer_id AND period_start = :period
""")


def reverse_payment(
    session: Session, actor: Actor, number: str, payment_id: int, *, reason: str
) -> PaymentRow:
    """Undoes a whole payment once, with a reason; the invoice's status follows.

    Raises Conflict `already_reversed`, NotFound `invoice_not_found`, `payment_not_found`.
    """
    require(actor, Permission.INVOICE)
    reason = validation.line("reason", reason, at_most=validation.TEXT_MAX)
    invoice = get_billed_invoice(session, number)
    _lock_billing(session, invoice.customer_id)
    row = get_row(session, invoice, validation.number("payment", payment_id))
    if row.reversed_at is not None:
        raise Conflict("already_reversed", payment=row.public_id)
    session.add(
        PaymentReversal(
            customer_id=invoice.customer_id,
            payment_id=row.payment_id,
            reason=reason,
            recorded_at=now(session),
            recorded_by=actor.id,
        )
    )
    session.flush()
    audit.record(
        session, actor, "payment.reversed", invoice.number,
        payment=row.public_id, amount=major_text(row.amount_minor, row.currency),
        currency=row.currency, reason=reason,
    )  # fmt: skip
    return get_row(session, invoice, row.payment_id)


def list_payments(
    session: Session, actor: Actor, number: str, *, limit: int = LIMIT_DEFAULT, cursor: str | None = None
) -> Page[PaymentRow]:
    """The invoice's payments, reversed ones too, the last recorded first, a page at a time."""
    require(actor, Permission.READ)
    invoice = get_billed_invoice(session, number)
    query = rows_of(invoice).limit(check_limit(limit) + 1)
    after = decode_cursor(cursor, datetime, int)
    if after:
        query = query.where(tuple_(col(Payment.recorded_at), col(Payment.payment_id)) < tuple_(*after))
    rows = [as_row(invoice, *found) for found in session.exec(query)]
    return page_of(rows, limit, lambda row: (row.recorded_at, row.payment_id))
