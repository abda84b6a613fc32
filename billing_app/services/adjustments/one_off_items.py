"""Use cases of one-off items: amounts that are charged or credited once, on the invoice of their month."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

from sqlalchemy import func
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select, tuple_
from sqlmodel.sql.expression import Select

from billing_app.database.session import now
from billing_app.domain.actor import Actor, Permission
from billing_app.domain.money import parse_quantity, parse_signed_unit_price, plain
from billing_app.domain.periods import label, next_period, period_of
from billing_app.errors import Conflict, Invalid, NotFound
from billing_app.models import Customer, CustomerBilling, OneOffItem
from billing_app.services.adjustments.queries import lock_billing
from billing_app.services.adjustments.rows import OneOffItemRow
from billing_app.services.customers.queries import get_customer_id
from billing_app.services.shared import audit, validation
from billing_app.services.shared.ids import public_id
from billing_app.services.shared.pagination import LIMIT_DEFAULT, Page, check_limit, decode_cursor, page_of
from billing_app.services.shared.permissions import require

ITEMS_MAX = 1_000
"""How many items one invoice can have."""
MONTHS_AHEAD_MAX = 12


def record_item(
    session: Session,
    actor: Actor,
    customer: str,
    *,
    description: str,
    unit_price: object,
    item_date: date,
    idempotency_key: str,
    quantity: object = 1,
) -> OneOffItemRow:
    """Record a one-off item once per idempotency key. A negative `unit_price` is a credit.

    It is billed in the month of its date, or in the oldest open month if that is later. The same key with
    the same content returns the first item.

    Raises:
        Invalid: naming the field that breaks a rule.
        NotFound: `customer_not_found`.
        Conflict: `idempotency_conflict`, `too_many_items`.
    """
    require(actor, Permission.WRITE_CUSTOMERS)
    owner = session.get_one(Customer, get_customer_id(session, customer))
    assert owner.customer_id is not None
    item = OneOffItem(
        customer_id=owner.customer_id,
        idempotency_key=validation.idempotency_key("idempotency_key", idempotency_key),
        description=validation.line("description", description, at_most=validation.NAME_MAX),
        quantity=_parse_quantity(quantity),
        unit_price=validation.parsed("unit_price", parse_signed_unit_price, unit_price),
        item_date=_parse_date(session, item_date),
        billing_period=item_date,
        recorded_at=now(session),
        recorded_by=actor.id,
    )
    billing = lock_billing(session, owner.customer_id)
    if existing := _find_same(session, item):
        return existing
    item.billing_period = _billing_period(billing, item.item_date.replace(day=1))
    return _insert(session, actor, item, "one_off_item.recorded")


def _parse_quantity(value: object) -> Decimal:
    quantity = validation.parsed("quantity", parse_quantity, value)
    if not quantity:
        raise Invalid("quantity", "not_positive")
    return quantity


def _parse_date(session: Session, value: object) -> date:
    item_date = validation.day("date", value)
    latest = period_of(now(session))
    for _ in range(MONTHS_AHEAD_MAX):
        latest = next_period(latest)
    if item_date >= next_period(latest):
        raise Invalid("date", "too_far_ahead", months=MONTHS_AHEAD_MAX)
    return item_date


def _billing_period(billing: CustomerBilling, month: date) -> date:
    return max(month, next_period(billing.closed_through))


def _find_same(session: Session, item: OneOffItem) -> OneOffItemRow | None:
    """Return the item that was recorded with this key. Raises Conflict if its content is different."""
    existing = session.get(OneOffItem, (item.customer_id, item.idempotency_key))
    if existing is None:
        return None
    content = {"description", "quantity", "unit_price", "item_date", "reverses_item_id"}
    if existing.model_dump(include=content) != item.model_dump(include=content):
        raise Conflict("idempotency_conflict", item=public_id("item", existing.item_id or 0))
    return _read(session, existing.customer_id, existing.item_id or 0)


def _insert(session: Session, actor: Actor, item: OneOffItem, action: str) -> OneOffItemRow:
    query = select(func.count()).where(
        OneOffItem.customer_id == item.customer_id, OneOffItem.billing_period == item.billing_period
    )
    if (session.scalar(query) or 0) >= ITEMS_MAX:
        raise Conflict("too_many_items", period=item.billing_period, at_most=ITEMS_MAX)
    session.add(item)
    session.flush()
    row = replace(_read(session, item.customer_id, item.item_id or 0), is_new=True)
    audit.record(
        session, actor, action, public_id("cus", item.customer_id),
        item=row.public_id, description=row.description, quantity=plain(row.quantity),
        unit_price=plain(row.unit_price), currency=row.currency, date=row.item_date.isoformat(),
        period=label(row.billing_period), reason=row.reason,
    )  # fmt: skip
    return row


def reverse_item(
    session: Session,
    actor: Actor,
    customer: str,
    item_id: int,
    *,
    reason: str,
    idempotency_key: str | None = None,
) -> OneOffItemRow:
    """Take back a whole one-off item, once. Return the item with the negated price that does so.

    It is billed no earlier than the item that it reverses.

    Raises:
        Invalid: The reason is empty.
        NotFound: `customer_not_found`, `item_not_found`.
        Conflict: `item_reversed`, also for an item that is itself a reversal; `too_many_items`.
    """
    require(actor, Permission.WRITE_CUSTOMERS)
    given_reason = validation.line("reason", reason, at_most=validation.TEXT_MAX)
    customer_id = get_customer_id(session, customer)
    billing = lock_billing(session, customer_id)
    original = _read(session, customer_id, item_id)
    if original.reversed_by_item_id is not None or original.reverses_item_id is not None:
        raise Conflict("item_reversed", item=original.public_id)
    reversal = OneOffItem(
        customer_id=customer_id,
        idempotency_key=idempotency_key or f"reversal of {original.public_id}",
        description=original.description,
        quantity=original.quantity,
        unit_price=-original.unit_price,
        item_date=original.item_date,
        billing_period=_billing_period(billing, original.billing_period),
        reverses_item_id=original.item_id,
        reason=given_reason,
        recorded_at=now(session),
        recorded_by=actor.id,
    )
    return _insert(session, actor, reversal, "one_off_item.reversed")


def list_items(
    session: Session, actor: Actor, customer: str, *, limit: int = LIMIT_DEFAULT, cursor: str | None = None
) -> Page[OneOffItemRow]:
    """List a customer's one-off items with their reversals, the latest billing period first."""
    require(actor, Permission.READ)
    customer_id = get_customer_id(session, customer)
    query = _select_items(customer_id).order_by(
        col(OneOffItem.billing_period).desc(), col(OneOffItem.item_id).desc()
    )
    after = decode_cursor(cursor, date, int)
    if after:
        query = query.where(tuple_(col(OneOffItem.billing_period), col(OneOffItem.item_id)) < tuple_(*after))
    rows = [_as_row(*found) for found in session.exec(query.limit(check_limit(limit) + 1))]
    return page_of(rows, limit, lambda row: (row.billing_period, row.item_id))


_Reversal = aliased(OneOffItem)


def _select_items(customer_id: int) -> Select[OneOffItem, int | None, str]:
    return (
        select(OneOffItem, _Reversal.item_id, Customer.currency)
        .join(Customer, col(Customer.customer_id) == col(OneOffItem.customer_id))
        .join(
            _Reversal,
            (col(_Reversal.customer_id) == col(OneOffItem.customer_id))
            & (col(_Reversal.reverses_item_id) == col(OneOffItem.item_id)),
            isouter=True,
        )
        .where(OneOffItem.customer_id == customer_id)
    )


def _read(session: Session, customer_id: int, item_id: int) -> OneOffItemRow:
    found = session.exec(_select_items(customer_id).where(OneOffItem.item_id == item_id)).one_or_none()
    if found is None:
        raise NotFound("item_not_found", named=public_id("item", item_id))
    return _as_row(*found)


def _as_row(item: OneOffItem, reversed_by_item_id: int | None, currency: str) -> OneOffItemRow:
    assert item.item_id is not None
    return OneOffItemRow(
        customer_id=item.customer_id,
        item_id=item.item_id,
        idempotency_key=item.idempotency_key,
        description=item.description,
        quantity=item.quantity,
        unit_price=item.unit_price,
        currency=currency,
        item_date=item.item_date,
        billing_period=item.billing_period,
        reverses_item_id=item.reverses_item_id,
        reversed_by_item_id=reversed_by_item_id,
        reason=item.reason,
        recorded_at=item.recorded_at,
        recorded_by=item.recorded_by,
    )
