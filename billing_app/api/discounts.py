"""Give customers discounts, list them and end them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.idempotency import Created, OnceOnly
from billing_app.api.wire.openapi import refusals
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Body, Currency, ExactNumber, Money, Period, Quantity, Timestamp
from billing_app.domain.actor import Permission
from billing_app.domain.discounts import AppliesTo
from billing_app.domain.money import major_text
from billing_app.services.adjustments import discounts
from billing_app.services.adjustments.rows import DiscountRow
from billing_app.services.shared.ids import get_number

router = resource("/customers/{customer}/discounts", "Discounts")


class Discount(BaseModel):
    """A discount on the bills of a customer's months. Discounts apply in the order of the list."""

    id: str = Field(examples=["disc_1"], description="Unique for the customer.")
    name: str = Field(examples=["Welcome discount"])
    percent: Quantity | None = Field(examples=["20"])
    amount: Money | None
    currency: Currency
    applies_to: AppliesTo
    first_period: Period
    last_period: Period | None = Field(description="Null while it has no end.")
    recorded_at: Timestamp
    recorded_by: str = Field(examples=["usr_2"])


class NewDiscount(Body):
    """Either a percentage or an amount. It is never scaled to days, and never applies to one-off items."""

    name: str = Field(examples=["Welcome discount"], description="Shown on invoices.")
    percent: ExactNumber | None = Field(
        None, examples=["20"], description="Above 0 and at most 100, with at most 4 decimals."
    )
    amount: ExactNumber | None = Field(
        None,
        description="In major units, above zero, such as `10.00`. It is taken from the monthly price first and then from usage.",
    )
    applies_to: Literal["all", "base", "usage"] = "all"
    first_period: Period = Field(examples=["2026-11"])
    last_period: Period | None = None


class DiscountEnd(Body):
    """The last month of a discount. It can be set once, to an open month."""

    last_period: Period = Field(
        examples=["2026-12"], description="A month before the first one means that it never applies."
    )


class Discounts(BaseModel):
    """All discounts of a customer."""

    items: list[Discount]


@router.get("", responses=refusals("customer_not_found"))
def list_discounts(call: Caller, customer: str) -> Discounts:
    """List a customer's discounts in the order in which they apply."""
    return Discounts(items=[discount_of(row) for row in call.do(discounts.list_discounts, customer)])


@router.post("", status_code=201, responses=refusals("customer_not_found", "period_closed", "invalid"))
def create_discount(once: OnceOnly, customer: str, body: NewDiscount) -> Discount:
    """Give a customer a discount from an open month on.

    It applies after the discounts that the customer has already, to what they leave, and never to one-off
    items. Its terms can't be changed later.
    """
    return once.create(
        Permission.WRITE_CUSTOMERS,
        Discount,
        lambda row: Created(discount_of(row)),
        discounts.create_discount,
        customer,
        name=body.name,
        percent=body.percent,
        amount=body.amount,
        applies_to=body.applies_to,
        first_period=body.first_period,
        last_period=body.last_period,
    )


@router.patch(
    "/{discount}",
    responses=refusals("customer_not_found", "discount_not_found", "period_closed", "discount_ended"),
)
def end_discount(call: Caller, customer: str, discount: str, body: DiscountEnd) -> Discount:
    """Set the last month of a discount. Closed months keep it."""
    number = get_number("disc", discount, "discount")
    return discount_of(call.do(discounts.end_discount, customer, number, last_period=body.last_period))


def discount_of(row: DiscountRow) -> Discount:
    """Build the discount to return."""
    return Discount(
        id=row.public_id,
        name=row.name,
        percent=row.percent,
        amount=None if row.amount_minor is None else major_text(row.amount_minor, row.currency),
        currency=row.currency,
        applies_to=row.applies_to,
        first_period=row.first_period,
        last_period=row.last_period,
        recorded_at=row.recorded_at,
        recorded_by=row.recorded_by,
    )
