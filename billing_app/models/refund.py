"""Refunds of a customer's credit, append-only."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKeyConstraint, Identity, UniqueConstraint
from sqlmodel import Field, SQLModel

from billing_app.models.columns import (
    customer_key_column,
    day_column,
    digits_check,
    entered_column,
    moment_column,
    text_column,
)


class Refund(SQLModel, table=True):
    """Money that was paid back to a customer. A trigger takes it from the customer's credit."""

    __tablename__ = "refund"
    __table_args__ = (
        ForeignKeyConstraint(["customer_id"], ["customer.customer_id"]),
        UniqueConstraint("customer_id", "idempotency_key"),
        digits_check("amount_minor", 38, 0),
        CheckConstraint("amount_minor > 0", name="amount_minor_positive"),
        CheckConstraint("length(idempotency_key) BETWEEN 1 AND 255", name="idempotency_key_length"),
        CheckConstraint(
            "refunded_on <= (recorded_at AT TIME ZONE 'UTC' + interval '14 hours')::date",
            name="not_dated_ahead",
        ),
    )

    customer_id: int = Field(sa_column=customer_key_column())
    refund_id: int | None = Field(
        default=None, sa_column=Column(BigInteger, Identity(always=True), primary_key=True)
    )
    amount_minor: Decimal = Field(sa_column=entered_column())
    refunded_on: date = Field(sa_column=day_column())
    reference: str = Field(default="", sa_column=text_column())
    idempotency_key: str = Field(sa_column=text_column())
    recorded_at: datetime = Field(sa_column=moment_column())
    recorded_by: str = Field(sa_column=text_column())


class RefundReversal(SQLModel, table=True):
    """The reversal of a whole refund. The primary key allows one per refund."""

    __tablename__ = "refund_reversal"
    __table_args__ = (
        ForeignKeyConstraint(["customer_id", "refund_id"], ["refund.customer_id", "refund.refund_id"]),
        CheckConstraint("btrim(reason) <> ''", name="reason_given"),
    )

    customer_id: int = Field(sa_column=customer_key_column())
    refund_id: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    reason: str = Field(sa_column=text_column())
    recorded_at: datetime = Field(sa_column=moment_column())
    recorded_by: str = Field(sa_column=text_column())
