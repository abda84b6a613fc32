"""Queries about discounts and one-off items. Unguarded: callers have checked their permission."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any, NamedTuple

from psycopg import Cursor
from sqlmodel import Session, select

from billing_app.domain.discounts import Discount
from billing_app.domain.lines import OneOff
from billing_app.models import CustomerBilling


def lock_billing(session: Session, customer_id: int) -> CustomerBilling:
    """Return the customer's billing row, locked until the transaction ends."""
    query = select(CustomerBilling).where(CustomerBilling.customer_id == customer_id)
    locked = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    return session.exec(locked).one()


class StoredDiscount(NamedTuple):
    """A row of `discount`, as DISCOUNT_COLUMNS selects it."""

    customer_id: int
    number: int
    name: str
    percent: Decimal | None
    amount_minor: Decimal | None
    applies_to: str
    first_period: date
    last_period: date | None

    def terms(self) -> Discount:
        """Return what bills need to know."""
        _, number, name, percent, amount_minor, applies_to, first_period, last_period = self
        amount = None if amount_minor is None else int(amount_minor)
        return Discount(number, name, percent, amount, applies_to, first_period, last_period)  # type: ignore[arg-type]


DISCOUNT_COLUMNS = ", ".join(StoredDiscount._fields)


def read_discounts(db: Cursor[Any], customer_ids: Iterable[int]) -> dict[int, tuple[Discount, ...]]:
    """Return the discounts of each customer that has any, in the order of their numbers."""
    db.execute(
        f"SELECT {DISCOUNT_COLUMNS} FROM discount WHERE customer_id = ANY(%s) ORDER BY customer_id, number",
        [list(customer_ids)],
    )
    found: defaultdict[int, list[Discount]] = defaultdict(list)
    for row in db:
        found[row[0]].append(StoredDiscount(*row).terms())
    return {customer_id: tuple(discounts) for customer_id, discounts in found.items()}


ITEM_COLUMNS = "customer_id, idempotency_key, description, item_date, quantity, unit_price"


def read_items(
    db: Cursor[Any], period_start: date, customer_ids: Iterable[int]
) -> dict[int, tuple[OneOff, ...]]:
    """Return the one-off items that each customer's invoice for the period charges, by date and key."""
    db.execute(
        f"SELECT {ITEM_COLUMNS} FROM one_off_item WHERE billing_period = %s AND customer_id = ANY(%s)"
        " ORDER BY customer_id, item_date, idempotency_key",
        [period_start, list(customer_ids)],
    )
    found: defaultdict[int, list[OneOff]] = defaultdict(list)
    for customer_id, *item in db:
        found[customer_id].append(OneOff(*item))
    return {customer_id: tuple(items) for customer_id, items in found.items()}


def has_items_in(customer_id: str, month: str) -> str:
    """Return a condition: a one-off item of the customer is billed in the month that starts on this day."""
    return f"""EXISTS (
        SELECT FROM one_off_item
        WHERE one_off_item.customer_id = {customer_id} AND one_off_item.billing_period = {month}
    )"""
