"""Queries about discounts, one-off items and credit. Unguarded: callers have checked their permission."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from psycopg import Cursor
from sqlmodel import Session, select

from billing_app.domain.discounts import Discount
from billing_app.domain.lines import OneOff
from billing_app.domain.money import Amount
from billing_app.models import Customer, CustomerBilling


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


def read_credit(session: Session, customer_id: int) -> Amount:
    """Return the credit of a customer. Lock the billing row first if it must not change."""
    billing = session.get_one(CustomerBilling, customer_id, populate_existing=True)
    return Amount(int(billing.credit_minor), session.get_one(Customer, customer_id).currency)


# What there is, up to the total of each invoice. The caller has locked the billing rows.
_APPLY = """
    INSERT INTO payment (customer_id, period_start, amount_minor, received_on, method, reference,
                         recorded_at, recorded_by, source)
    SELECT i.customer_id, i.period_start, least(b.credit_minor, i.total_minor), %(today)s, '', '',
           %(now)s, %(recorded_by)s, 'credit'
    FROM customer_billing b
    JOIN invoice i ON i.customer_id = b.customer_id AND i.period_start = %(period)s
    WHERE b.customer_id = ANY(%(ids)s) AND b.credit_minor > 0 AND i.total_minor > 0
    ORDER BY i.customer_id
"""


def apply_credit_to_new_invoices(
    db: Cursor[Any],
    period_start: date,
    customer_ids: Sequence[int],
    *,
    recorded_at: datetime,
    recorded_by: str,
) -> None:
    """Pay the invoices that were just created from their customers' credit, as far as it goes.

    Part of creating them, which has checked the permission.
    """
    db.execute(
        _APPLY,
        {
            "period": period_start,
            "ids": list(customer_ids),
            "today": recorded_at.date(),
            "now": recorded_at,
            "recorded_by": recorded_by,
        },
    )
