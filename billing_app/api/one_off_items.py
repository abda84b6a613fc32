"""Charge or credit customers once, list what was charged so, and take it back."""

from __future__ import annotations

from typing import Any

from fastapi import Response
from pydantic import BaseModel, Field

from billing_app.api.wire.calls import Caller
from billing_app.api.wire.idempotency import Created, OnceOnly
from billing_app.api.wire.openapi import recorded_before, refusals
from billing_app.api.wire.pagination import Page, Paged, page_of
from billing_app.api.wire.routing import resource
from billing_app.api.wire.values import Body, Currency, Date, ExactNumber, Key, Period, Quantity, Timestamp
from billing_app.domain.actor import Permission
from billing_app.services.adjustments import one_off_items
from billing_app.services.adjustments.rows import OneOffItemRow
from billing_app.services.shared.ids import get_number, public_id

router = resource("/customers/{customer}/one-off-items", "One-off items")


class OneOffItem(BaseModel):
    """An amount that is charged once, or credited if `unit_price` is negative."""

    id: str = Field(examples=["item_7"])
    idempotency_key: str
    description: str = Field(examples=["Setup fee"])
    quantity: Quantity = Field(examples=["1"])
    unit_price: Quantity = Field(examples=["250.00"], description="In major units.")
    currency: Currency
    date: Date
    billing_period: Period = Field(description="The month whose invoice charges it.")
    reverses: str | None = Field(description="The item that this one takes back.")
    reversed_by: str | None = Field(description="The item that takes this one back.")
    reason: str | None
    recorded_at: Timestamp
    recorded_by: str = Field(examples=["usr_2"])


class NewOneOffItem(Body):
    """What to charge or credit, and when."""

    description: str = Field(examples=["Setup fee"], description="Shown on the invoice.")
    quantity: ExactNumber = Field("1", examples=["1"])
    unit_price: Any = Field(
        examples=["250.00"], description="In major units, at most 12 decimals. Negative for a credit."
    )
    date: Date = Field(
        description="At most 12 months ahead. If its month is closed, the next open one counts."
    )
    idempotency_key: Key


class ItemReversal(Body):
    """Why an item is taken back."""

    reason: str = Field(examples=["Charged by mistake."])


@router.get("", responses=refusals("customer_not_found"))
def list_items(call: Caller, paged: Paged, customer: str) -> Page[OneOffItem]:
    """List a customer's one-off items and reversals, the latest billing period first."""
    return page_of(call.do(one_off_items.list_items, customer, **paged), item_of)


@router.post(
    "",
    status_code=201,
    responses={
        **recorded_before(OneOffItem, "item"),
        **refusals("customer_not_found", "idempotency_conflict", "too_many_items"),
    },
)
def record_item(call: Caller, customer: str, body: NewOneOffItem, response: Response) -> OneOffItem:
    """Charge or credit a customer once.

    It is on the invoice of the month of its date, or of the oldest open month if that one is closed. If you get
    no response, retry with the same idempotency key. The item is recorded once.
    """
    row = call.do(
        one_off_items.record_item,
        customer,
        description=body.description,
        quantity=body.quantity,
        unit_price=body.unit_price,
        item_date=body.date,
        idempotency_key=body.idempotency_key,
    )
    response.status_code = 201 if row.is_new else 200
    return item_of(row)


@router.post(
    "/{item}/reversal",
    status_code=201,
    responses=refusals(
        "customer_not_found", "item_not_found", "item_reversed", "too_many_items", "idempotency_conflict"
    ),
)
def reverse_item(once: OnceOnly, customer: str, item: str, body: ItemReversal) -> OneOffItem:
    """Take back a whole item, once. Returns the item with the negated price that does so.

    It is billed in the same month while that is open, and otherwise in the oldest open one. Without an
    `Idempotency-Key`, a retry returns 409 `item_reversed`.
    """
    return once.create(
        Permission.WRITE_CUSTOMERS,
        OneOffItem,
        lambda row: Created(item_of(row)),
        one_off_items.reverse_item,
        customer,
        get_number("item", item, "item"),
        reason=body.reason,
    )


def item_of(row: OneOffItemRow) -> OneOffItem:
    """Build the item to return."""

    def link(item_id: int | None) -> str | None:
        return None if item_id is None else public_id("item", item_id)

    return OneOffItem(
        id=row.public_id,
        idempotency_key=row.idempotency_key,
        description=row.description,
        quantity=row.quantity,
        unit_price=row.unit_price,
        currency=row.currency,
        date=row.item_date,
        billing_period=row.billing_period,
        reverses=link(row.reverses_item_id),
        reversed_by=link(row.reversed_by_item_id),
        reason=row.reason,
        recorded_at=row.recorded_at,
        recorded_by=row.recorded_by,
    )
