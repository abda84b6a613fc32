"""Discounts and one-off items as services return them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal

from billing_app.domain.discounts import AppliesTo
from billing_app.services.shared.ids import public_id


@dataclass(frozen=True, slots=True)
class DiscountRow:
    """A discount of one customer: a percentage, or an amount in the customer's currency."""

    customer_id: int
    number: int
    name: str
    percent: Decimal | None
    amount_minor: int | None
    currency: str
    applies_to: AppliesTo
    first_period: date
    last_period: date | None
    recorded_at: datetime
    recorded_by: str

    @property
    def public_id(self) -> str:
        """The id as callers see it, `disc_2`: the number among the customer's discounts."""
        return public_id("disc", self.number)


@dataclass(frozen=True, slots=True)
class OneOffItemRow:
    """A one-off item. `unit_price` is in major units, and negative for a credit.

    `reversed_by_item_id` and `reverses_item_id` link an item and its reversal. `is_new` is true only in the
    result of the call that recorded it.
    """

    customer_id: int
    item_id: int
    idempotency_key: str
    description: str
    quantity: Decimal
    unit_price: Decimal
    currency: str
    item_date: date
    billing_period: date
    reverses_item_id: int | None
    reversed_by_item_id: int | None
    reason: str | None
    recorded_at: datetime
    recorded_by: str
    is_new: bool = field(default=False, compare=False)

    @property
    def public_id(self) -> str:
        """The id as callers see it, `item_7`."""
        return public_id("item", self.item_id)


@dataclass(frozen=True, slots=True)
class RefundRow:
    """A refund of credit, with its reversal if it was reversed.

    `is_new` is true only in the result of the call that recorded it.
    """

    customer_id: int
    refund_id: int
    amount_minor: int
    currency: str
    refunded_on: date
    reference: str
    recorded_at: datetime
    recorded_by: str
    reversed_at: datetime | None
    reversed_by: str | None
    reversal_reason: str | None
    is_new: bool = field(default=False, compare=False)

    @property
    def public_id(self) -> str:
        """The id as callers see it, `ref_3`."""
        return public_id("ref", self.refund_id)
