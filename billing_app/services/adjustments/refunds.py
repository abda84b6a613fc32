"""Use cases of refunds: credit that is paid back to a customer. A refund can be reversed as a whole."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

from sqlmodel import Session, and_, col, select, tuple_
from sqlmodel.sql.expression import Select

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.invoice import latest_local_date
from billing_app.domain.money import major_text, parse_amount_minor
from billing_app.errors import Conflict, Invalid, NotFound
from billing_app.models import Customer, Refund, RefundReversal
from billing_app.services.adjustments.queries import lock_billing, read_credit
from billing_app.services.adjustments.rows import RefundRow
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.shared import audit, validation
from billing_app.services.shared.ids import public_id
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require


def record_refund(
    session: Session,
    actor: Actor,
    customer: str,
    *,
    amount: object,
    refunded_on: date,
    idempotency_key: str,
    reference: str = "",
    expected_credit: object = None,
) -> RefundRow:
    """Record a refund once per idempotency key, and never more than the credit.

    Amounts are in major units. The same key with the same content returns the first refund. The refund is
    rejected as `stale` if the credit is not the `expected_credit` that the caller saw.

    Raises:
        Invalid: naming the field that breaks a rule. The date must not be in the future in every time zone.
        NotFound: `customer_not_found`.
        Conflict: `idempotency_conflict`, `stale` or `insufficient_credit`, with the credit.
    """
    require(actor, Permission.INVOICE)
    customer_id = get_customer_id(session, customer)
    currency = session.get_one(Customer, customer_id).currency
    refund = Refund(
        customer_id=customer_id,
        amount_minor=Decimal(validation.parsed("amount", parse_amount_minor, amount, currency)),
        refunded_on=validation.day("refunded_on", refunded_on),
        reference=validation.line("reference", reference, at_most=validation.REFERENCE_MAX, required=False),
        idempotency_key=validation.idempotency_key("idempotency_key", idempotency_key),
        recorded_at=now(session),
        recorded_by=actor.id,
    )
    lock_billing(session, customer_id)
    if existing := _find_same(session, refund):
        return existing
    _check_refund(session, refund, expected_credit)
    return _insert(session, actor, refund)


def _insert(session: Session, actor: Actor, refund: Refund) -> RefundRow:
    session.add(refund)
    session.flush()
    row = replace(_read(session, refund.customer_id, refund.refund_id or 0), is_new=True)
    _record(session, actor, "refund.recorded", row, refunded_on=row.refunded_on.isoformat())
    return row


def _record(session: Session, actor: Actor, action: str, row: RefundRow, **details: str) -> None:
    audit.record(
        session, actor, action, public_id("cus", row.customer_id),
        refund=row.public_id, amount=major_text(row.amount_minor, row.currency), currency=row.currency,
        **details,
    )  # fmt: skip


def _find_same(session: Session, refund: Refund) -> RefundRow | None:
    """Return the refund that was recorded with this key. Raises Conflict if its content is different."""
    query = select(Refund).where(
        Refund.customer_id == refund.customer_id, Refund.idempotency_key == refund.idempotency_key
    )
    existing = session.exec(query).one_or_none()
    if existing is None:
        return None
    content = {"amount_minor", "refunded_on", "reference"}
    if existing.model_dump(include=content) != refund.model_dump(include=content):
        raise Conflict("idempotency_conflict", refund=public_id("ref", existing.refund_id or 0))
    return _read(session, existing.customer_id, existing.refund_id or 0)


def _check_refund(session: Session, refund: Refund, expected_credit: object) -> None:
    if refund.amount_minor <= 0:
        raise Invalid("amount", "not_positive")
    if refund.refunded_on > latest_local_date(now(session)):
        raise Invalid("refunded_on", "in_the_future")
    credit = read_credit(session, refund.customer_id)
    if expected_credit is not None:
        expected = validation.parsed("credit", parse_amount_minor, expected_credit, credit.currency)
        if expected != credit.amount_minor:
            written = major_text(*credit)
            raise Conflict("stale", credit=credit, version=written, newer={"amount": written})
    if refund.amount_minor > credit.amount_minor:
        raise Conflict("insufficient_credit", credit=credit, currency=credit.currency)


def reverse_refund(
    session: Session, actor: Actor, customer: str, refund_id: int, *, reason: str
) -> RefundRow:
    """Reverse a whole refund once, with a reason. Its amount is credit again.

    Raises:
        NotFound: `customer_not_found`, `refund_not_found`.
        Conflict: `refund_reversed`.
    """
    require(actor, Permission.INVOICE)
    given_reason = validation.line("reason", reason, at_most=validation.TEXT_MAX)
    customer_id = get_customer_id(session, customer)
    lock_billing(session, customer_id)
    row = _read(session, customer_id, validation.number("refund", refund_id))
    if row.reversed_at is not None:
        raise Conflict("refund_reversed", refund=row.public_id)
    session.add(
        RefundReversal(
            customer_id=customer_id,
            refund_id=row.refund_id,
            reason=given_reason,
            recorded_at=now(session),
            recorded_by=actor.id,
        )
    )
    session.flush()
    _record(session, actor, "refund.reversed", row, reason=given_reason)
    return _read(session, customer_id, row.refund_id)


def list_refunds(
    session: Session, actor: Actor, customer: str, *, limit: int = LIMIT_DEFAULT, cursor: str | None = None
) -> Page[RefundRow]:
    """List a customer's refunds, including reversed ones, last recorded first. Raises NotFound."""
    require(actor, Permission.READ)
    query = _select_refunds(get_customer_id(session, customer)).limit(check_limit(limit) + 1)
    after = decode_cursor(cursor, datetime, int)
    if after:
        query = query.where(tuple_(col(Refund.recorded_at), col(Refund.refund_id)) < tuple_(*after))
    rows = [_as_row(*found) for found in session.exec(query)]
    return page_of(rows, limit, lambda row: (row.recorded_at, row.refund_id))


def _select_refunds(customer_id: int) -> Select[Refund, RefundReversal, str]:
    return (
        select(Refund, RefundReversal, Customer.currency)
        .join(Customer, col(Customer.customer_id) == col(Refund.customer_id))
        .join(
            RefundReversal,
            and_(
                col(RefundReversal.customer_id) == col(Refund.customer_id),
                col(RefundReversal.refund_id) == col(Refund.refund_id),
            ),
            isouter=True,
        )
        .where(Refund.customer_id == customer_id)
        .order_by(col(Refund.recorded_at).desc(), col(Refund.refund_id).desc())
    )


def _read(session: Session, customer_id: int, refund_id: int) -> RefundRow:
    query = _select_refunds(customer_id).where(Refund.refund_id == refund_id)
    found = session.exec(query).one_or_none()
    if found is None:
        raise NotFound("refund_not_found", named=public_id("ref", refund_id))
    return _as_row(*found)


def _as_row(refund: Refund, reversal: RefundReversal | None, currency: str) -> RefundRow:
    assert refund.refund_id is not None
    return RefundRow(
        customer_id=refund.customer_id,
        refund_id=refund.refund_id,
        amount_minor=int(refund.amount_minor),
        currency=currency,
        refunded_on=refund.refunded_on,
        reference=refund.reference,
        recorded_at=refund.recorded_at,
        recorded_by=refund.recorded_by,
        reversed_at=reversal.recorded_at if reversal else None,
        reversed_by=reversal.recorded_by if reversal else None,
        reversal_reason=reversal.reason if reversal else None,
    )
