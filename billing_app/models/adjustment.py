"""Discounts and one-off items of customers, both append-only."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    UniqueConstraint,
)
from sqlmodel import Field, SQLModel

from billing_app.models.columns import (
    customer_key_column,
    day_column,
    digits_check,
    entered_column,
    first_of_month_check,
    moment_column,
    text_column,
)


class Discount(SQLModel, table=True):
    """A discount on the bills of a customer's months: a percentage or an amount.

    Discounts apply in the order of their numbers. Only `last_period` can be set later, once, and a trigger
    ensures that it changes no closed month.
    """

    __tablename__ = "discount"
    __table_args__ = (
        ForeignKeyConstraint(["customer_id"], ["customer.customer_id"]),
        CheckConstraint("number >= 1", name="number_positive"),
        CheckConstraint("name <> '' AND name = btrim(name)", name="name_trimmed"),
        CheckConstraint("num_nonnulls(percent, amount_minor) = 1", name="percent_or_amount"),
        CheckConstraint("percent > 0 AND percent <= 100 AND scale(percent) <= 4", name="percent_digits"),
        CheckConstraint("amount_minor > 0", name="amount_minor_positive"),
        digits_check("amount_minor", 38, 0),
        CheckConstraint("applies_to IN ('all', 'base', 'usage')", name="applies_to_known"),
        first_of_month_check("first_period"),
        first_of_month_check("last_period"),
    )

    customer_id: int = Field(sa_column=customer_key_column())
    number: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    name: str = Field(sa_column=text_column())
    percent: Decimal | None = Field(default=None, sa_column=entered_column(nullable=True))
    amount_minor: Decimal | None = Field(default=None, sa_column=entered_column(nullable=True))
    applies_to: str = Field(sa_column=text_column())
    first_period: date = Field(sa_column=day_column())
    last_period: date | None = Field(default=None, sa_column=day_column(nullable=True))
    recorded_at: datetime = Field(sa_column=moment_column())
    recorded_by: str = Field(sa_column=text_column())


class OneOffItem(SQLModel, table=True):
    """An amount that is charged once, or credited if its price is negative.

    The customer and the idempotency key identify it. Its billing period is fixed when it is recorded. A
    reversal is an item with the negated price of the one that it reverses.
    """

    __tablename__ = "one_off_item"
    __table_args__ = (
        ForeignKeyConstraint(["customer_id"], ["customer.customer_id"]),
        UniqueConstraint("customer_id", "item_id"),
        UniqueConstraint("customer_id", "reverses_item_id"),
        ForeignKeyConstraint(
            ["customer_id", "reverses_item_id"], ["one_off_item.customer_id", "one_off_item.item_id"]
        ),
        CheckConstraint("length(idempotency_key) BETWEEN 1 AND 255", name="idempotency_key_length"),
        CheckConstraint("description <> '' AND description = btrim(description)", name="description_trimmed"),
        digits_check("quantity", 14, 6),
        CheckConstraint("quantity > 0", name="quantity_positive"),
        CheckConstraint(
            "abs(unit_price) < 1e8 AND scale(unit_price) <= 12 AND unit_price <> 'NaN'",
            name="unit_price_digits",
        ),
        first_of_month_check("billing_period"),
        CheckConstraint(
            "billing_period >= date_trunc('month', item_date)", name="billed_no_earlier_than_dated"
        ),
        CheckConstraint("(reverses_item_id IS NULL) = (reason IS NULL)", name="reason_of_reversal"),
        CheckConstraint("btrim(reason) <> ''", name="reason_given"),
        Index("ix_one_off_item_billing", "billing_period", "customer_id"),
    )

    customer_id: int = Field(sa_column=customer_key_column())
    idempotency_key: str = Field(sa_column=text_column(primary_key=True))
    item_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), nullable=False)
    )
    description: str = Field(sa_column=text_column())
    quantity: Decimal = Field(sa_column=entered_column())
    unit_price: Decimal = Field(sa_column=entered_column())
    item_date: date = Field(sa_column=day_column())
    billing_period: date = Field(sa_column=day_column())
    reverses_item_id: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    reason: str | None = Field(default=None, sa_column=text_column(nullable=True))
    recorded_at: datetime = Field(sa_column=moment_column())
    recorded_by: str = Field(sa_column=text_column())
