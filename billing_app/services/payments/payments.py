"""Record payments against invoices. A payment never changes, but it can be reversed as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from sqlmodel import Session, col, select, tuple_

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.invoice import latest_local_date
from billing_app.domain.money import Amount, major_text, parse_amount_minor
from billing_app.errors import Conflict, Invalid
from billing_app.models import Payment, PaymentReversal
from billing_app.services.payments.queries import (
    BilledInvoice,
    as_row,
    get_billed_invoice,
    get_payment,
    lock_billing,
    read_balance,
    select_payments,
)
from billing_app.services.payments.rows import PaymentRow
from billing_app.services.shared import audit, validation
from billing_app.services.shared.ids import public_id
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require


@dataclass(frozen=True, slots=True)
class RecordedPayment:
    """A payment, and whether this call or an earlier one with the same key created it."""

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
    expected_balance: object = None,
) -> RecordedPayment:
    """Record a payment once per idempotency key, and never more than the balance.

    `amount` is in major units. The same key with the same content returns the first payment.
    `expected_balance` is the balance that the caller saw, in major units; the payment is rejected
    as `stale` if it has changed.

    Raises:
        NotFound: `invoice_not_found`.
        Invalid: The amount is not above zero, the date is in the future in every time zone, or a field breaks
            another rule.
        Conflict: `idempotency_conflict` if the key was used with different content, `stale`, or
            `overpayment`. The last two include the balance.
    """
    require(actor, Permission.INVOICE)
    invoice = get_billed_invoice(session, number)
    payment = Payment(
        customer_id=invoice.customer_id,
        period_start=invoice.period_start,
        amount_minor=Decimal(validation.parsed("amount", parse_amount_minor, amount, invoice.currency)),
        received_on=validation.day("received_on", received_on),
        method=_parse_note("method", method),
        reference=_parse_note("reference", reference),
        idempotency_key=validation.idempotency_key("idempotency_key", idempotency_key),
        recorded_at=now(session),
        recorded_by=actor.id,
    )
    return _record(session, actor, invoice, payment, expected_balance)


def _parse_note(field: str, value: object) -> str:
    return validation.line(field, value, at_most=validation.REFERENCE_MAX, required=False)


def _record(
    session: Session, actor: Actor, invoice: BilledInvoice, payment: Payment, expected_balance: object
) -> RecordedPayment:
    lock_billing(session, invoice.customer_id)
    existing_id = _find_recorded(session, payment)
    if existing_id is not None:
        return RecordedPayment(get_payment(session, invoice, existing_id), created=False)
    _check_payment(session, invoice, payment, expected_balance)
    session.add(payment)
    session.flush()
    row = get_payment(session, invoice, payment.payment_id)
    audit.record(
        session, actor, "payment.recorded", invoice.number,
        payment=row.public_id, amount=major_text(row.amount_minor, row.currency), currency=row.currency,
        received_on=row.received_on.isoformat(),
    )  # fmt: skip
    return RecordedPayment(row, created=True)


def _find_recorded(session: Session, payment: Payment) -> int | None:
    """Return the id of the payment already recorded with this key.

    Raises:
        Conflict: `idempotency_conflict` if its content is different.
    """
    existing = session.exec(
        select(Payment).where(
            Payment.customer_id == payment.customer_id, Payment.idempotency_key == payment.idempotency_key
        )
    ).one_or_none()
    if existing is None:
        return None
    content = {"period_start", "amount_minor", "received_on", "method", "reference"}
    if existing.model_dump(include=content) != payment.model_dump(include=content):
        raise Conflict("idempotency_conflict", payment=public_id("pay", existing.payment_id or 0))
    return existing.payment_id


def _check_payment(
    session: Session, invoice: BilledInvoice, payment: Payment, expected_balance: object
) -> None:
    """Check the amount and the date, and that the balance is the expected one and sufficient."""
    if payment.amount_minor <= 0:
        raise Invalid("amount", "not_positive")
    if payment.received_on > latest_local_date(now(session)):
        raise Invalid("received_on", "in_the_future")
    balance = Amount(read_balance(session, invoice), invoice.currency)
    if expected_balance is not None:
        expected = validation.parsed("balance", parse_amount_minor, expected_balance, invoice.currency)
        if expected != balance.amount_minor:
            written = major_text(*balance)
            raise Conflict(
                "stale",
                balance=balance,
                currency=invoice.currency,
                version=written,
                newer={"amount": written},
            )
    if payment.amount_minor > balance.amount_minor:
        raise Conflict("overpayment", number=invoice.number, balance=balance, currency=invoice.currency)


def reverse_payment(
    session: Session, actor: Actor, number: str, payment_id: int, *, reason: str
) -> PaymentRow:
    """Reverse a whole payment once, with a reason.

    Raises:
        NotFound: `invoice_not_found`, `payment_not_found`.
        Conflict: `already_reversed`.
    """
    require(actor, Permission.INVOICE)
    reason = validation.line("reason", reason, at_most=validation.TEXT_MAX)
    invoice = get_billed_invoice(session, number)
    lock_billing(session, invoice.customer_id)
    row = get_payment(session, invoice, validation.number("payment", payment_id))
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
    return get_payment(session, invoice, row.payment_id)


def list_payments(
    session: Session, actor: Actor, number: str, *, limit: int = LIMIT_DEFAULT, cursor: str | None = None
) -> Page[PaymentRow]:
    """List the invoice's payments, including reversed ones, last recorded first.

    Raises:
        NotFound: `invoice_not_found`.
    """
    require(actor, Permission.READ)
    invoice = get_billed_invoice(session, number)
    query = select_payments(invoice).limit(check_limit(limit) + 1)
    after = decode_cursor(cursor, datetime, int)
    if after:
        query = query.where(tuple_(col(Payment.recorded_at), col(Payment.payment_id)) < tuple_(*after))
    rows = [as_row(invoice, *found) for found in session.exec(query)]
    return page_of(rows, limit, lambda row: (row.recorded_at, row.payment_id))
